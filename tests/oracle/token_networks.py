"""Small networks of tokens: attention, windows, class tokens, mixers, each with an image."""

from collections.abc import Callable
from dataclasses import replace

from .description import (
    Affine,
    Attention,
    Branch,
    FromWindows,
    Grid,
    Map,
    Network,
    Roll,
    TokenMix,
    Tokens,
    Windows,
)
from .draw import Draw
from .networks import Example

__all__ = ["TOKEN_EXAMPLES"]

WIDE, HEADS = 6, 2


def attention(draw: Draw, c: int = WIDE, *, apart: Grid = ()) -> Attention:
    """Attention of two heads, whose values have biases."""
    queries, keys, values = (draw.array(c, c, scale=1.5 * c**-0.5) for _ in range(3))
    return Attention(queries, keys, values, draw.array(c, scale=0.5), HEADS, apart)


def attended(draw: Draw, source: str, *, apart: Grid = ()) -> Branch:
    """The attention branch of a block: a layer norm, attention, a dense layer with a bias."""
    then = (draw.channel_mix(WIDE, WIDE), draw.bias(WIDE))
    return Branch(source, attention(draw, apart=apart), then=then, norm=draw.layer_norm(WIDE))


def block(draw: Draw, source: str, name: str) -> tuple[Map, ...]:
    """A block of a transformer: attention beside a skip, then an MLP beside one."""
    middle, hidden = f"{name}.attn", f"{name}.hidden"
    return (
        Map(middle, (Branch(source), attended(draw, source)), "identity"),
        Map(
            hidden,
            (Branch(middle, then=(draw.channel_mix(WIDE, 8), draw.bias(8)), norm=draw.layer_norm(WIDE)),),
            "tanh",
        ),
        Map(
            f"{name}.mlp",
            (Branch(middle), Branch(hidden, then=(draw.channel_mix(8, WIDE), draw.bias(WIDE)))),
            "identity",
        ),
    )


def patches(draw: Draw, side: int) -> Map:
    """Patches of two by two pixels with a position embedding."""
    conv = draw.conv(2, 3, WIDE, strides=2)
    return Map("patches", (Branch("input", conv, then=(draw.bias(side, side, WIDE),)),), "identity")


def attention_block() -> Example:
    """A block of attention on a grid, read by a mean."""
    draw = Draw.seeded(31)
    embed = Map(
        "patches", (Branch("input", draw.conv(2, 3, WIDE, strides=2, axes=1), then=(draw.bias(5, WIDE),)),), "identity"
    )
    maps = (embed, *block(draw, "patches", "0"), *block(draw, "0.mlp", "1"))
    maps = (*maps[:-1], replace(maps[-1], layer_norm=draw.layer_norm(WIDE)))
    return Example(Network(maps, draw.global_pool_head(WIDE)), draw.array(10, 3))


def class_token() -> Example:
    """Two blocks whose class token alone is read."""
    draw = Draw.seeded(32)
    embed = Map(
        "patches", (Branch("input", draw.conv(2, 3, WIDE, strides=2, axes=1), then=(draw.bias(WIDE),)),), "identity"
    )
    tokens = Map("tokens", (Branch("patches", Tokens(draw.array(2, WIDE))),), "identity", post=draw.bias(6, WIDE))
    maps = (embed, tokens, *block(draw, "tokens", "0"), *block(draw, "0.mlp", "1"))
    maps = (*maps[:-1], replace(maps[-1], layer_norm=draw.layer_norm(WIDE)))
    head = replace(draw.global_pool_head(WIDE), box=((0, 1),))
    return Example(Network(maps, head), draw.array(8, 3))


def mixer() -> Example:
    """A mixer: an MLP over tokens, then one over channels."""
    draw = Draw.seeded(33)
    embed = Map(
        "patches", (Branch("input", draw.conv(2, 3, WIDE, strides=2, axes=1), then=(draw.bias(WIDE),)),), "identity"
    )
    up = Branch(
        "patches", TokenMix(draw.array(5, 7, scale=5**-0.5)), then=(draw.bias(7, 1),), norm=draw.layer_norm(WIDE)
    )
    down = Branch("wide", TokenMix(draw.array(7, 5, scale=7**-0.5)), then=(draw.bias(5, 1),))
    maps = (
        embed,
        Map("wide", (replace(up, then=(Affine(shift=up.then[0].shift.repeat(WIDE, 1)),)),), "tanh"),
        Map(
            "mixed",
            (Branch("patches"), replace(down, then=(Affine(shift=down.then[0].shift.repeat(WIDE, 1)),))),
            "identity",
        ),
        Map(
            "last",
            (Branch("mixed", then=(draw.channel_mix(WIDE, 4), draw.bias(4)), norm=draw.layer_norm(WIDE)),),
            "tanh",
        ),
    )
    return Example(Network(maps, draw.global_pool_head(4)), draw.array(10, 3))


def windows() -> Example:
    """Attention within windows, then within shifted ones."""
    draw = Draw.seeded(34)
    maps = (
        patches(draw, 4),
        Map("windows", (Branch("patches", Windows(2)),), "identity"),
        Map("attended", (Branch("windows"), attended(draw, "windows", apart=(0, 2))), "identity"),
        Map("grid", (Branch("attended", FromWindows()),), "identity"),
        Map("rolled", (Branch("grid", Roll((-1, -1))),), "identity"),
        Map("shifted", (Branch("rolled", Windows(2)),), "identity"),
        Map("again", (Branch("shifted"), attended(draw, "shifted", apart=(0, 2))), "tanh"),
    )
    return Example(Network(maps, draw.global_pool_head(WIDE)), draw.array(8, 8, 3))


TOKEN_EXAMPLES: dict[str, Callable[[], Example]] = {
    example.__name__: example for example in (attention_block, class_token, mixer, windows)
}
"""The examples by name."""
