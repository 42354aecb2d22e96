"""Which version of the signal path made windows, context and presence; bump it when that code changes what they hold.

Written into bundles and into the index of training data: data of another version do not belong to a model's training.
"""

PREPROCESSING = "models.signals 2"
