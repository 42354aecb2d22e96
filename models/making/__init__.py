"""From a configuration to what is shipped: training and evaluation together, cards, bundles, students."""
