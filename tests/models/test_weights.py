import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from srd_jax.errors import WeightsError
from srd_jax.models import VGG, ResNet, build, load, to_torchvision
from srd_jax.models import torchvision_layout as layout
from srd_jax.models.weights import class_count, from_torchvision, untrained
from tests.golden import recipe

SMALL = (
    ResNet((1, 1), bottleneck=True, widths=(4, 8), num_classes=3),
    ResNet((2, 1), bottleneck=False, widths=(4, 8), num_classes=3),
    VGG((1, 2), widths=(3, 4), batch_norm=True, num_classes=3, hidden=5),
)


@pytest.fixture
def small(template):
    """A small VGG's template and a state dict that fits."""
    shapes = template(VGG((1,), widths=(2,), num_classes=3, hidden=5))
    return shapes, to_torchvision(untrained(shapes, seed=0))


def leaves_equal(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("name", recipe.REFERENCES)
def test_every_models_parameters_are_torchvisions(name, template):
    leaves = traverse_util.flatten_dict(template(build(name)))
    named = {layout.torchvision_name(path): leaf.shape for path, leaf in leaves.items()}
    assert {name: layout.torchvision_shape(name, shape) for name, shape in named.items()} == recipe.shapes(name)


@pytest.mark.parametrize("module", SMALL, ids=["bottleneck", "basic", "vgg_bn"])
def test_to_torchvision_and_back(module, template):
    variables = untrained(template(module), seed=3)
    state = to_torchvision(variables)
    assert all(array.flags.c_contiguous for array in state.values())
    leaves_equal(from_torchvision(template(module), state, "vgg11"), variables)


def test_the_callers_arrays_are_copied(small):
    shapes, state = small
    variables = from_torchvision(shapes, state, "vgg11")
    before = np.array(variables["params"]["classifier"]["6"]["bias"])
    for array in state.values():
        array[...] = 9
    np.testing.assert_array_equal(variables["params"]["classifier"]["6"]["bias"], before)


def test_num_batches_tracked_is_ignored(small):
    shapes, state = small
    from_torchvision(shapes, state | {"features.1.num_batches_tracked": np.int64(7)}, "vgg11")


def test_timms_names_and_convolutional_kernels(small):
    shapes, state = small
    names = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    timm = {}
    for name, array in state.items():
        module, kind = name.rsplit(".", 1)
        timm[f"{names.get(module, module)}.{kind}"] = array
    as_dense = from_torchvision(shapes, timm, "vgg11")
    timm["pre_logits.fc1.weight"] = timm["pre_logits.fc1.weight"].reshape(5, 2, 7, 7)
    timm["pre_logits.fc2.weight"] = timm["pre_logits.fc2.weight"].reshape(5, 5, 1, 1)
    as_convolutions = from_torchvision(shapes, timm, "vgg11")
    expected = from_torchvision(shapes, state, "vgg11")
    leaves_equal(as_dense, expected)
    leaves_equal(as_convolutions, expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, jnp.bfloat16])
def test_other_float_types_become_float32(small, dtype):
    shapes, state = small
    variables = from_torchvision(shapes, {name: array.astype(dtype) for name, array in state.items()}, "vgg11")
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}


def test_everything_wrong_is_in_one_error(small):
    shapes, state = small
    del state["features.0.bias"]
    del state["classifier.6.weight"]
    state["classifier.0.bias"] = np.zeros(7, np.float32)
    state["classifier.3.weight"] = np.zeros((5, 6, 1, 1), np.float32)
    state["classifier.3.bias"] = np.full(5, np.nan, np.float32)
    state["classifier.6.bias"] = np.array(["a", "b", "c"])
    state["head.weight"] = np.zeros(3, np.float32)
    state["pre_logits.fc1.weight"] = state["classifier.0.weight"]
    with pytest.raises(WeightsError) as caught:
        from_torchvision(shapes, state, "vgg11")
    lines = str(caught.value).splitlines()
    assert lines[0] == "8 problems with the weights for vgg11:"
    assert sorted(line.strip() for line in lines[1:]) == [
        "given twice: classifier.0.weight and pre_logits.fc1.weight",
        "misshapen: classifier.0.bias is (7,) and must be (5,)",
        "misshapen: classifier.3.weight is (5, 6, 1, 1) and must be (5, 5)",
        "missing: classifier.6.weight (3, 5)",
        "missing: features.0.bias (2,)",
        "not an array of numbers: classifier.6.bias (dtype <U1)",
        "not finite: classifier.3.bias",
        "unexpected: head.weight",
    ]


@pytest.mark.parametrize(
    "prefix",
    ["module.", "model.", "_orig_mod.", "backbone.", "net.", "module._orig_mod.", "model.module.", "model.net."],
)
def test_names_within_wrappers(small, prefix):
    shapes, state = small
    wrapped = {prefix + name: array for name, array in state.items()} | {f"{prefix}n_averaged": np.int64(1)}
    leaves_equal(from_torchvision(shapes, wrapped, "vgg11"), from_torchvision(shapes, state, "vgg11"))
    assert class_count(wrapped, "vgg11") == 3


def test_wrappers_within_names_and_around_some(small):
    shapes, state = small
    inner = {name.replace("features.0", "backbone.features._orig_mod.0"): array for name, array in state.items()}
    leaves_equal(from_torchvision(shapes, inner, "vgg11"), from_torchvision(shapes, state, "vgg11"))


def test_two_sets_of_weights_are_told_apart(small):
    shapes, state = small
    both = state | {f"model.{name}": array for name, array in state.items()}
    with pytest.raises(WeightsError, match=r"given twice: features\.0\.weight and model\.features\.0\.weight"):
        from_torchvision(shapes, both, "vgg11")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.zeros(3, jnp.float8_e4m3fn), "dtype float8_e4m3fn"),
        (np.zeros(3, jnp.float8_e5m2), "dtype float8_e5m2"),
        (np.zeros(3, jnp.float4_e2m1fn), "dtype float4_e2m1fn"),
        (np.zeros(3, jnp.int4), "dtype int4"),
        (np.zeros(3, bool), "dtype bool"),
        (np.zeros(3, complex), "dtype complex128"),
        (np.zeros(3, "m8[s]"), "dtype timedelta64"),
        (np.array([None, 1, 2]), "dtype object"),
        ([0.0, 0.0, 0.0], "a list"),
        ("x" * 10**6, "a str"),
        (np.broadcast_to(np.float32(1), (2**40, 2**20)), "1152921504606846976 numbers, of which 1 are stored"),
        (np.lib.stride_tricks.sliding_window_view(np.zeros(9, np.float32), 5), "25 numbers, of which 9 are stored"),
    ],
)
def test_what_is_no_array_of_numbers(small, value, reason):
    shapes, state = small
    with pytest.raises(WeightsError, match="1 problem ") as caught:
        from_torchvision(shapes, state | {"classifier.6.bias": value}, "vgg11")
    assert f"not an array of numbers: classifier.6.bias ({reason}" in str(caught.value)


def test_a_head_that_repeats_one_number_fills_no_memory(template):
    wide = np.broadcast_to(np.float32(1), (2**40, 512))
    assert class_count({"fc.weight": wide}, "resnet18") == 2**40
    with pytest.raises(WeightsError, match=r"not an array of numbers: fc\.weight \(562949953421312 numbers"):
        load("resnet18", {"fc.weight": wide})


@pytest.mark.filterwarnings("error")
def test_a_number_too_large_for_float32(small):
    shapes, state = small
    state["classifier.6.bias"] = np.array([1, 1e300, 2])
    with pytest.raises(WeightsError, match=r"not finite: classifier\.6\.bias"):
        from_torchvision(shapes, state, "vgg11")


def test_a_message_is_short_whatever_the_names(small):
    shapes, state = small
    odd = {"x" * 10**6: 1, "two\nlines": 2, **{f"name {i}": i for i in range(1000)}}
    with pytest.raises(WeightsError, match="1002 problems") as caught:
        from_torchvision(shapes, state | odd, "vgg11")
    assert len(str(caught.value)) < 5000
    assert "two\\nlines" in str(caught.value)
    assert str(caught.value).endswith("and 962 more")


def test_a_resnets_weights_do_not_fit_another(resnet18_state, template):
    with pytest.raises(WeightsError, match=r"missing: layer1\.2\.conv1\.weight \(64, 64, 3, 3\)"):
        from_torchvision(template(build("resnet34")), resnet18_state, "resnet34")


@pytest.mark.parametrize(
    ("name", "model"), [("fc.weight", "resnet18"), ("classifier.6.weight", "vgg16"), ("head.fc.weight", "vgg16")]
)
def test_class_count(name, model):
    assert class_count({"conv1.weight": np.zeros((8, 3, 1, 1)), name: np.zeros((17, 4))}, model) == 17


def test_class_count_without_a_head():
    assert class_count({"conv1.weight": np.zeros((8, 3, 1, 1)), "fc.weight": 3}, "resnet18") is None


def test_untrained_depends_on_the_seed_alone(template):
    shapes = template(SMALL[0])
    leaves_equal(untrained(shapes, seed=1), untrained(shapes, seed=1))
    kernels = [untrained(shapes, seed)["params"]["conv1"]["kernel"] for seed in (1, 2)]
    assert not np.array_equal(*kernels)


def test_untrained_scales(template):
    variables = untrained(template(build("resnet18")), seed=0)
    kernel = np.asarray(variables["params"]["layer4.1"]["conv2"]["kernel"])
    assert kernel.std() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)
    assert np.asarray(variables["params"]["fc"]["kernel"]).std() == pytest.approx(512**-0.5, rel=0.01)
    assert (variables["params"]["bn1"]["scale"] == 1).all()
    assert (variables["batch_stats"]["bn1"]["var"] == 1).all()
    assert (variables["batch_stats"]["bn1"]["mean"] == 0).all()


def test_an_expanded_tensor_fills_no_memory(small, tmp_path):
    torch = pytest.importorskip("torch")
    shapes, state = small
    for dtype in (torch.float32, torch.bfloat16):
        torch.save({"fc.weight": torch.zeros(1, dtype=dtype).expand(3 * 2**35, 512)}, tmp_path / "w.pth")
        assert (tmp_path / "w.pth").stat().st_size < 2000
        with pytest.raises(WeightsError, match=r"not an array of numbers: fc\.weight \(52776558133248 numbers"):
            load("resnet18", tmp_path / "w.pth")
    for narrow in (torch.float8_e4m3fn, torch.float4_e2m1fn_x2, torch.bool, torch.complex64):
        odd = torch.zeros(24, dtype=torch.uint8).view(narrow)[:3]
        with pytest.raises(WeightsError, match=r"1 problem [^*]*not an array of numbers: classifier\.6\.bias"):
            from_torchvision(shapes, state | {"classifier.6.bias": odd}, "vgg11")
