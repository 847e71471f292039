"""The mathematics: models, likelihoods and objectives, tensors in and tensors out, in nats per image."""
