"""Watch and steer a training."""
