"""From a source to records of state, vitals, alarms and predictions, over Faust: see :mod:`streams.app`."""
