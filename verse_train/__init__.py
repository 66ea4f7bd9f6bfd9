"""Training: networks, synthetic CT, data sets, export of weights. Not needed in the container."""
