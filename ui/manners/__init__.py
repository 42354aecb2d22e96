"""How the program behaves beside the patient: its settings, the screen kept awake, the machine's sleep."""
