"""The constants of the membership protocol, and what follows from them and the number of members.

Two profiles. `LAN` is for servers a few milliseconds apart. `WAN` is the default, since one pool
holds the servers of all regions. The published WAN settings of others (a probe every 5 s,
suspicion 6x) leave a lost region undetected for 45 s; ours probe every 2 s. Verdicts on whole
regions do not wait for either (`federation.regions`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Waits in seconds, counts, and the factors that scale them. The values here are LAN's."""

    #: One member is probed each period. Shorter finds a death sooner and costs more: each
    #: member sends and answers one probe a period, however many members there are.
    probe_s: float = 1.0
    #: How long a direct answer may take before others are asked too, where round trips to the
    #: member were never measured. Beyond the 99th percentile of round trips, and half a period
    #: at most, so that helpers have as long.
    ack_s: float = 0.5
    #: With measured round trips we wait for their mean plus four deviations (as TCP does), but
    #: no less than this: a garbage collection on the other side is no reason to bother others.
    ack_min_s: float = 0.1
    #: Whom we ask to ask for us. With 10 % loss each way, all of one direct and three indirect
    #: probes fail once in 400 times; a fifth helper would buy little.
    helpers: int = 3
    #: Helpers that hear nothing say so after this share of the time they have.
    nack_share: float = 0.8
    #: A suspect's time to object: this x log10(members) periods, once enough others suspect it
    #: too. Three gossip rounds to reach it and one for its answer.
    suspicion_mult: int = 4
    #: So many times longer while nobody confirms: a lone accuser may be the one that is deaf.
    suspicion_max_mult: int = 6
    #: A claim is sent on this x log10(members) times; an epidemic then misses a member with a
    #: probability of members^-(this - 1) or so, and push-pull repairs what it missed.
    retransmit_mult: int = 4
    #: While there is news, it is sent to `fanout` members this often, besides what probes carry.
    gossip_s: float = 0.2
    fanout: int = 3
    #: News goes to members dead for less than this as well: one that is not will object.
    gossip_to_the_dead_s: float = 30.0
    #: Everything is exchanged with one member this often; longer with more than 32 members.
    push_pull_s: float = 30.0
    #: One dead member is tried again this often, ...
    reconnect_s: float = 30.0
    #: ... for so long; then it is forgotten. Three days, as users of Nomad have it: a long
    #: weekend without one region's link does not need an operator to join it again.
    reconnect_for_s: float = 72 * 3600.0
    #: Who left is listed for this long.
    tombstone_s: float = 24 * 3600.0
    #: Another address may take over the name of a member dead for this long. A name is at once
    #: free when its member left, and never while it lives.
    reclaim_s: float = 30.0
    #: Lifeguard's local health goes from 0 to one less than this; waits are multiplied by
    #: health + 1. Eight gives a member that was starved for seconds time to notice.
    awareness_max: int = 8
    #: A leaving member stays this long to spread the word.
    leave_s: float = 1.0
    #: Datagrams with claims stay under this: 1,500 less IPv6, UDP and a tunnel's headers.
    packet_bytes_max: int = 1400

    def __post_init__(self) -> None:
        """Refuse what cannot work: no time for helpers, no helpers, no gossip."""
        if not 0 < self.ack_min_s <= self.ack_s < self.probe_s:
            raise ValueError("waits must satisfy 0 < ack_min_s <= ack_s < probe_s")
        if min(self.gossip_s, self.push_pull_s, self.reconnect_s, self.leave_s) <= 0:
            raise ValueError("gossip_s, push_pull_s, reconnect_s and leave_s must be positive")
        if min(self.suspicion_mult, self.suspicion_max_mult, self.retransmit_mult) < 1:
            raise ValueError("multipliers must be at least 1")
        if self.helpers < 0 or self.fanout < 1 or self.awareness_max < 1:
            raise ValueError("helpers, fanout and awareness_max must not be below 0, 1 and 1")
        if not 0 < self.nack_share < 1:
            raise ValueError("nack_share must be between 0 and 1")
        if not 512 <= self.packet_bytes_max <= 2048:
            raise ValueError("packet_bytes_max must be from 512 to 2048")


LAN = Profile()

WAN = Profile(
    #: Two seconds and not five: 27 servers see each other probed every 2 s x 26 / 26.
    probe_s=2.0,
    #: 300 ms of round trip, thrice.
    ack_s=1.0,
    ack_min_s=0.25,
    #: Longer than LAN's 4, as a lost packet costs a round trip that is ten times as long.
    suspicion_mult=5,
    gossip_s=0.5,
    #: One more than LAN, since half of the datagrams go to another region.
    fanout=4,
    gossip_to_the_dead_s=60.0,
    push_pull_s=60.0,
    leave_s=3.0,
)


def suspicion_min_s(profile: Profile, members: int) -> float:
    """The time a suspect has once enough others confirmed."""
    scale = max(1.0, math.log10(max(1, members)))
    return profile.suspicion_mult * scale * profile.probe_s


def confirmations_wanted(profile: Profile, members: int) -> int:
    """How many others must confirm for the shortest time; none where there are not as many."""
    wanted = max(0, profile.suspicion_mult - 2)
    return wanted if members - 2 >= wanted else 0


def retransmits(profile: Profile, members: int) -> int:
    """How many times one claim is sent on."""
    return profile.retransmit_mult * math.ceil(math.log10(members + 1))


def push_pull_every_s(profile: Profile, members: int) -> float:
    """The time between two exchanges of everything: one step longer for each doubling over 32."""
    if members <= 32:
        return profile.push_pull_s
    return profile.push_pull_s * (math.ceil(math.log2(members) - 5) + 1)
