"""What processes count of themselves: in files that outlive them, so that /metrics can add it up.

A process counts in a file that it maps into its memory: `kill -9` loses nothing, and a process that
is started again goes on in the file that the dead one left, so that no counter falls and no file is
left over. The families are declared in ``horizon.counters.families``.
"""

from horizon.counters.families import Family as Family
from horizon.counters.file import ROLES as ROLES
from horizon.counters.file import Counters as Counters
from horizon.counters.file import NullCounters as NullCounters
from horizon.counters.file import folder_of as folder_of
from horizon.counters.file import open_counters as open_counters
from horizon.counters.reading import read_counters as read_counters
