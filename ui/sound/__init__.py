"""What is heard: alarm bursts and the beat tone. No Qt; one thread of its own beside the audio library's.

sounds.toml, figures   the figures of every sound, held to IEC 60601-1-8 when they are read
tones                  samples of them
schedule               which burst starts when
beat_clock             which beats are due
player                 the samples of each moment, mixed
output                 the audio library
keeper                 opens the output, watches it, tries again
sign                   what the screen says of all this
"""
