"""Every family of writings, and the writings that may be refused."""

from tests.writings import axes, biases, convolutions, heads, norms, pools, residuals, transforms

FAMILIES = (
    *heads.FAMILIES,
    *pools.FAMILIES,
    *norms.FAMILIES,
    *convolutions.FAMILIES,
    *biases.FAMILIES,
    *residuals.FAMILIES,
    *axes.FAMILIES,
    *transforms.FAMILIES,
)

MAY_BE_REFUSED = frozenset(
    {
        ("head", "image by image"),
        ("max pool", "the lowest number in place of infinity"),
        ("max pool", "pairwise maxima"),
        ("max pool", "maximum of squares"),
        ("max pool", "minimum of the negated"),
        ("average pool", "a mean over squares"),
        ("depthwise convolution", "vmap over channels"),
        ("instance norm", "scaled and shifted"),
        ("mean added back", "resized"),
        ("transformation", "loop over images"),
        ("transformation", "scan"),
        ("transformation", "branch on a constant"),
    }
)
"""(family, writing): a refusal is right as well; every other writing must agree."""
