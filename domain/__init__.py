"""Pure decisions of debt collection: no input or output, no clock, no SQL, no Temporal.

Everything here is a function of its arguments, so that it can be replayed by a workflow, tested by property
and read aloud. It must never import another package of this project.
"""
