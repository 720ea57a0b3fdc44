"""Why a cluster is not Ready: objects in, findings out. Pure: no I/O, no clock (`now` is in the snapshot).

`engine.explain` is the door in; `engine.needed_logs` tells the caller which logs would decide; `text.render`
makes plain lines. One module per family of causes holds the rules and, beside each, the words that the tool
prints and the documentation repeats.
"""
