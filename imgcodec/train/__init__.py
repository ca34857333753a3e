"""Training: data, losses, the loop and the export of weights. Only the train command needs it."""
