"""Stop an allocation; set the scheduler."""

from __future__ import annotations

from msgspec.structs import replace

from hanse.errors import Invalid, NotFound
from hanse.store import Put
from hanse.structs.allocation import AllocChange
from hanse.structs.api import SchedulerConfiguration
from region.commands.drafts import evaluation_for, job_of, put_changes, put_eval
from region.state.codec import encode
from region.writer import Draft, Writer

ALGORITHMS = ("binpack", "spread")


async def stop_allocation(
    writer: Writer, alloc_id: str, *, no_shutdown_delay: bool, reschedule: bool
) -> tuple[str, int]:
    """Stop and replace an allocation. Gives the evaluation and the index. Raises NotFound."""
    ids = writer.ids()
    eval_id = ids.next()

    def decide() -> Draft[None]:
        state, keys, now_ns = writer.state, writer.state.keys, writer.clock.wall_ns()
        alloc = state.allocation(alloc_id)
        if alloc is None:
            raise NotFound("allocation", text="allocation not found")
        transition = replace(
            alloc.transition,
            migrate=True,
            reschedule=True if reschedule else alloc.transition.reschedule,
            no_shutdown_delay=True if no_shutdown_delay else alloc.transition.no_shutdown_delay,
        )
        changes = [AllocChange(alloc_id=alloc_id, transition=transition)]
        writes = [*put_changes(keys, ids, changes, now_ns)]
        writes.append(
            put_eval(keys, evaluation_for(job_of(state, alloc), eval_id, "alloc-stop", now_ns))
        )
        return Draft((), tuple(writes), keys.evaluation(eval_id), None)

    _, revision = await writer.write(decide)
    return eval_id, revision


async def set_scheduler_config(
    writer: Writer, config: SchedulerConfiguration, cas: int | None
) -> tuple[bool, int]:
    """Replace the settings, with `cas` only at that index. Gives whether, and the index."""
    if config.scheduler_algorithm not in ("", *ALGORITHMS):
        raise Invalid("SchedulerAlgorithm", f'"{config.scheduler_algorithm}" is not known')
    limit = config.node_limit_for_feasibility_checks
    if limit < 0:
        raise Invalid("NodeLimitForFeasibilityChecks", "must not be negative")

    def decide() -> Draft[bool]:
        key = writer.state.keys.scheduler_config
        current = writer.state.scheduler_config
        if cas is not None and cas != current.modify_index:
            return Draft((), (), "", False)
        kept = replace(
            config,
            scheduler_algorithm=config.scheduler_algorithm or current.scheduler_algorithm,
            create_index=0,
            modify_index=0,
        )
        return Draft((writer.key_is(key),), (Put(key, encode(kept)),), "", True)

    return await writer.write(decide)
