"""Work on a Ray cluster: the connection, checks of its nodes, files sent to them, and tasks.

This is the only room that imports Ray, and only where the parameter ``cluster`` asks for it.
"""
