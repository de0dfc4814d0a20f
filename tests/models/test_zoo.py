import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from srd_jax import models
from srd_jax.errors import ImageError, LayerError, ShapeError, WeightsError
from srd_jax.models import hub
from tests.golden import recipe


@pytest.fixture(scope="module")
def net(resnet18_state):
    return models.load("resnet18", resnet18_state)


def leaves_equal(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_names_are_the_reference_architectures():
    assert models.names()[0] == "efficientnet_lite0"
    assert set(recipe.REFERENCES) < set(models.names())
    assert all(recipe.shapes(name) for name in recipe.REFERENCES)


def test_the_public_names_exist():
    assert all(hasattr(models, name) for name in models.__all__)


def test_a_model_holds_what_it_takes(net):
    assert net.name == "resnet18"
    assert net.trained
    assert net.size == 224
    assert net.labels == models.imagenet_labels()
    photo = models.sample_photo()
    np.testing.assert_array_equal(net.preprocess(photo), models.preprocess(photo, size=224, resize=256))
    assert net.layers[:3] == ("relu", "layer1.0.relu1", "layer1.0.relu2")
    assert len(net.layers) == 17
    with pytest.raises(dataclasses.FrozenInstanceError):
        net.name = "other"


def test_its_repr_is_short(net):
    assert repr(net) == "Network(name='resnet18', trained=True)"


def test_a_photo_goes_all_the_way(net):
    image = net.preprocess.at(64)(models.sample_photo())
    logits = jax.jit(net.apply)(net.variables, image[None])
    assert logits.shape == (1, 1000)
    assert logits.dtype == jnp.float32
    assert np.isfinite(logits).all()


def test_apply_is_one_function_that_jit_caches(net):
    assert net.apply is net.apply
    images = jnp.zeros((1, 32, 32, 3))
    jax.jit(net.apply)(net.variables, images)
    size = jax.jit(net.apply)._cache_size()
    jax.jit(net.apply)(net.variables, images + 1)
    assert jax.jit(net.apply)._cache_size() == size


@pytest.mark.parametrize("shape", [(32, 32, 3), (1, 3, 32, 32), (1, 32, 32, 1), (1, 1, 32, 32, 3), ()])
def test_images_of_another_shape(net, shape):
    with pytest.raises(ShapeError, match=r"images must be \(N, height, width, 3\)"):
        net.apply(net.variables, jnp.zeros(shape))


def test_one_image_is_told_about_the_batch_axis(net):
    with pytest.raises(ShapeError, match=r"images\[None\]"):
        net.apply(net.variables, jnp.zeros((32, 32, 3)))


def test_images_that_were_not_normalised(net):
    with pytest.raises(ImageError, match="preprocess"):
        net.apply(net.variables, np.zeros((1, 32, 32, 3), np.uint8))


def test_images_too_small_for_a_vgg(template):
    module = models.build("vgg11")
    apply = models.zoo._checked(module)
    with pytest.raises(ShapeError, match="at least 32 x 32"):
        jax.eval_shape(apply, template(module), jnp.zeros((1, 31, 64, 3)))
    assert jax.eval_shape(apply, template(module), jnp.zeros((1, 32, 64, 3))).shape == (1, 1000)


def test_untrained_weights_follow_the_seed():
    first, again, other = (models.load("resnet18", "untrained", seed=seed) for seed in (0, 0, 1))
    assert not first.trained
    leaves_equal(first.variables, again.variables)
    kernels = [np.asarray(m.variables["params"]["conv1"]["kernel"]) for m in (first, other)]
    assert not np.array_equal(*kernels)


def test_a_safetensors_file_is_as_good_as_a_mapping(net, resnet18_state, tmp_path):
    save_file(resnet18_state, tmp_path / "w.safetensors")
    leaves_equal(models.load("resnet18", tmp_path / "w.safetensors").variables, net.variables)
    leaves_equal(models.load("resnet18", str(tmp_path / "w.safetensors")).variables, net.variables)


def test_no_weights_come_from_the_hub(net, resnet18_state, tmp_path, monkeypatch):
    save_file(resnet18_state, tmp_path / "w.safetensors")
    monkeypatch.setattr(hub, "fetch", {"resnet18": tmp_path / "w.safetensors"}.__getitem__)
    loaded = models.load("resnet18")
    assert loaded.trained
    leaves_equal(loaded.variables, net.variables)


def test_a_pytorch_checkpoint(net, resnet18_state, tmp_path):
    torch = pytest.importorskip("torch")
    state = {name: torch.nn.Parameter(torch.from_numpy(array.copy())) for name, array in resnet18_state.items()}
    state["bn1.num_batches_tracked"] = torch.tensor(3)
    leaves_equal(models.load("resnet18", state).variables, net.variables)
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    leaves_equal(models.load("resnet18", tmp_path / "w.pth").variables, net.variables)
    halves = {name: tensor.detach().to(torch.bfloat16) for name, tensor in state.items()}
    np.testing.assert_allclose(
        models.load("resnet18", halves).variables["params"]["fc"]["kernel"],
        net.variables["params"]["fc"]["kernel"],
        rtol=2**-8,
    )


def test_the_number_of_classes_is_the_weights(resnet18_state):
    state = resnet18_state | {"fc.weight": np.ones((7, 512), np.float32), "fc.bias": np.ones(7, np.float32)}
    model = models.load("resnet18", state)
    assert model.labels == tuple(f"class {i}" for i in range(7))
    assert jax.eval_shape(model.apply, model.variables, jnp.zeros((1, 32, 32, 3))).shape == (1, 7)
    with pytest.raises(
        WeightsError, match=r"2 problems[^*]*misshapen: fc\.weight is \(7, 512\) and must be \(5, 512\)"
    ):
        models.load("resnet18", state, num_classes=5)


def test_the_names_of_classes_are_the_weights(tmp_path):
    state = models.to_torchvision(models.load("tiny_resnet", "untrained", num_classes=3).variables)
    for given, expected in ((["owl", "elk", "eel"], ("owl", "elk", "eel")), (None, ("class 0", "class 1", "class 2"))):
        save_file(state, tmp_path / "w.SAFETENSORS", given and {"class_names": json.dumps(given)})
        assert models.load("tiny_resnet", tmp_path / "w.SAFETENSORS").labels == expected
    save_file(state, tmp_path / "w.safetensors", {"class_names": '["owl", "elk"]'})
    with pytest.raises(WeightsError, match="has 2 class names for 3 classes"):
        models.load("tiny_resnet", tmp_path / "w.safetensors")


def test_other_weights_of_as_many_classes_are_not_given_the_bundled_names():
    net = models.load("tiny_resnet", "untrained")
    assert net.labels[0] == "goldfish, Carassius auratus"
    assert models.load("tiny_resnet", models.to_torchvision(net.variables)).labels[0] == "class 0"


def test_untrained_takes_a_number_of_classes():
    model = models.load("resnet18", "untrained", num_classes=4)
    assert len(model.labels) == 4
    assert model.variables["params"]["fc"]["bias"].shape == (4,)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet5", "did you mean 'resnet50'"),
        ("ResNet50", "did you mean 'resnet50'"),
        ("zzz", "there are efficientnet_lite0"),
    ],
)
def test_an_unknown_model_is_refused_before_any_download(name, hint, monkeypatch):
    monkeypatch.setattr(hub, "fetch", lambda _: pytest.fail("asked the hub"))
    with pytest.raises(LayerError, match=hint):
        models.load(name)
