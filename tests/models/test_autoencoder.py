"""The autoencoder: the same trunks, the same likelihood, no KL; and what a linear one must reach."""

import math

import pytest
import torch
from oracles import drain, linear_data

import vaewidgets as vw
from vaewidgets.evaluation.metrics import encode_all, held_out_elbo, knn_agreement
from vaewidgets.io.checkpoints import EncodedDataset


@pytest.mark.parametrize(("q", "residual"), [(1, 5.75), (2, 1.75), (3, 0.75)])
def test_a_linear_autoencoder_reaches_the_residual_of_pca(q, residual):
    x, _, _ = linear_data()
    model = vw.Autoencoder(q, (1, 2, 3), trunk="linear", likelihood="gaussian", seed=0)
    drain(vw.fit(model, x, epochs=800, batch_size=len(x), lr=0.02, schedule="cosine"))
    with torch.no_grad():
        left = (x - model(x)).square().flatten(1).sum(1).mean().item()
    # From below no linear map can pass; from above training comes close.
    assert residual - 1e-4 < left < residual + 1e-3


@pytest.mark.parametrize("trunk", ["linear", "mlp", "conv"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 7), (1, 1, 2)])
def test_codes_and_images_have_the_shapes_promised(trunk, shape):
    model = vw.Autoencoder(5, shape, trunk=trunk, hidden=(6, 4), seed=0)
    x = torch.rand(3, *shape)
    z = model.encode(x)
    assert z.shape == (3, 5)
    assert model.decode(z).shape == model(x).shape == x.shape
    assert not hasattr(model, "logvar") and not model.has_prior
    terms = vw.objectives.autoencoding(model, x)
    assert terms.kl.shape == (3, 0)
    assert torch.equal(terms.total, terms.reconstruction)
    torch.testing.assert_close(terms.total, model.likelihood.log_prob(x, model.decode_parameters(z)))


def test_it_has_the_trunk_and_decoder_of_the_vae_and_only_other_heads():
    shared = dict(latent_dim=3, image_shape=(1, 8, 8), hidden=(32, 16), seed=0)
    vae, ae = vw.VAE(**shared), vw.Autoencoder(**shared)
    for part in ("encoder", "decoder"):
        a, b = getattr(vae, part).state_dict(), getattr(ae, part).state_dict()
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)  # the same seed, the same weights


def test_training_has_no_kl_and_beta_changes_nothing(digits):
    images = digits.train.images[:200]
    losses = []
    for beta in (0.0, 1.0, 100.0):
        steps = list(vw.fit(vw.Autoencoder(2, (1, 8, 8), hidden=(16,), seed=0), images, epochs=2, beta=beta))
        assert all(step.kl == 0 and step.loss == -step.reconstruction for step in steps)
        losses.append([step.loss for step in steps])
    assert losses[0] == losses[1] == losses[2]


def test_it_learns_digits_better_than_a_constant_picture(digits):
    model = vw.Autoencoder(2, (1, 8, 8), hidden=(64,), seed=0)
    drain(vw.fit(model, digits.train.images, epochs=30, lr=3e-3))
    constant = digits.train.images.mean(0).clamp(1e-3, 1 - 1e-3)
    held_out = digits.test.images
    baseline = (held_out * constant.log() + (1 - held_out) * (1 - constant).log()).flatten(1).sum(1).mean()
    assert held_out_elbo(model, held_out).total.mean() > baseline + 3


def test_a_checkpoint_keeps_codes_without_logvar(tmp_path, digits):
    model = vw.Autoencoder(2, (1, 8, 8), hidden=(16,), seed=0)
    q = encode_all(model, digits.test.images)
    assert q.logvar is None
    vw.save(
        model,
        tmp_path / "ae.safetensors",
        atlas=EncodedDataset(q.mu, None, digits.test.labels),
        dataset="digits",
    )
    again = vw.load(tmp_path / "ae.safetensors")
    assert type(again) is vw.Autoencoder
    assert again.atlas.logvar is None
    torch.testing.assert_close(again.atlas.mu, q.mu)
    with torch.no_grad():
        torch.testing.assert_close(again(digits.test.images), model(digits.test.images))
    with pytest.raises(ValueError, match="atlas"):
        vw.save(model, tmp_path / "bad.safetensors", atlas=EncodedDataset(q.mu, q.mu, digits.test.labels))
    assert not (tmp_path / "bad.safetensors").exists()


# -- grouping ----------------------------------------------------------------------------------------------


def test_knn_agreement_of_codes_with_a_known_answer():
    # Two heaps of five and one point of class 1 in the heap of class 0: its neighbours vote it down.
    codes = torch.cat([torch.arange(5.0), torch.arange(100.0, 105.0), torch.tensor([2.5])])[:, None]
    labels = torch.tensor([0] * 5 + [1] * 5 + [1])
    assert knn_agreement(codes, labels, k=3) == pytest.approx(10 / 11)
    # A point is not its own neighbour: with two lone points of different classes nobody agrees.
    assert knn_agreement(torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1]), k=1) == 0


def test_knn_agreement_is_that_of_a_plain_leave_one_out_vote(digits):
    codes, labels = digits.test.images[:120].flatten(1), digits.test.labels[:120]
    distances = torch.cdist(codes.double(), codes.double()).fill_diagonal_(math.inf)
    nearest = distances.topk(5, largest=False).indices
    votes = torch.stack([torch.bincount(labels[row], minlength=10) for row in nearest])
    expected = (votes.argmax(1) == labels).double().mean().item()
    assert knn_agreement(codes, labels, k=5) == pytest.approx(expected)


def test_knn_agreement_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="4 codes need 4 labels"):
        knn_agreement(torch.zeros(4, 2), torch.zeros(3))
    for k in (0, 4):
        with pytest.raises(ValueError, match="k must be"):
            knn_agreement(torch.zeros(4, 2), torch.zeros(4).long(), k=k)
