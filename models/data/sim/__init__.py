"""The parts of the built-in patient simulator; its front is ``models.data.simulator``.

subject        who the patient is, and which devices listen
scenarios      what will happen: episodes of hypotension, decoys, anaesthesia
operation, theatre, drugs, operation_course   the second course of the pressure: an operation and who looks after it
pharmacology   propofol: three compartments, two effect sites, depth
physiology     the course of one patient, beat by beat (the only sequential part)
beats          the table of beats, and the windkessel in closed form
ecg, pulse, eeg, respiration   beats and depth rendered as samples
crises         rhythms with and without a pulse, and sensors that look like them: scripts
crisis_course, fibrillation    a patient who keeps to such a script
faults         what goes wrong at the sensors, with its truth
noise          random numbers addressed by position, so that any chunking gives the same bits
truth          what really happened
"""
