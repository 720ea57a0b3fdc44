"""What `on_event` of `raystead.Cluster`'s methods gets, in the order of a wait."""

from raystead.ops.events import Applied, Done, Event, Explained, GroupProgress, Note, Planned, Progress

__all__ = ["Applied", "Done", "Event", "Explained", "GroupProgress", "Note", "Planned", "Progress"]
