"""The look: colours, fonts, sizes, words."""
