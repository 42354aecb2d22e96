"""Small wrongs that the tests must see: each is put in, the tests named beside it must fail, it is taken out again.

Coverage says which lines ran, not whether anybody looked at the result. The ``*.toml`` files here hold wrongs that are
easily made in losses, masks and splits (a ratio mixed up, a target shown, a group confused), each as the text of a file
before and after. ``python -m tests.mutations`` puts them in one by one, in memory and in a process of its own; nothing
on disk is touched. Exit status 0: every wrong was seen, or is declared as harmless with a reason.
"""
