"""The harness of hopflow's benchmarks: cases, workloads, workers that time them, and the report.

A case runs in the interpreter of each engine that it compares, most of which have no hopflow: this
package needs numpy and torch alone, and what draws tables and plots is imported where it is used.
"""

from hopbench.case import Case, Entry, Growth, Point, Task, Unavailable, timed

__all__ = ["Case", "Entry", "Growth", "Point", "Task", "Unavailable", "timed"]
