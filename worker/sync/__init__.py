"""One pair of projects, from reading to report. Every way in is one `Run` (`run.py`), whose
phases are reading, applying and proving; `recording.py` keeps it in the database meanwhile.

read    `read/` fetches TestRail's milestones, the links and Testably's milestones;
        they become one value, the `Snapshot` (`decide/snapshot.py`). What takes longer than a slice
        of the service's work goes on in the next one (`read/answers.py`).
decide  `decide/` is pure. Rules say what becomes of each milestone (`rules.py`, for what
        is gone `absence.py`), differences what each field means (`differences.py`), and
        the plan is the differences to push, in order, with reasons (`plan.py`).
apply   `apply/` journals, sends and records each write (`writer.py`), in passes: roots,
        children, creates in doubt, archives, late statuses (`executor.py`), each milestone
        by itself (`items.py`).
report  `report.py` says what became of each milestone. A migration that wrote reads both
        sides once more (`proof.py`); `verify.py` is the same comparison without a run.
back    `undo_plan.py`, `undo.py` take back what a run did, in steps (`undo_step.py`), from what the
        target shows (`undo_read.py`); `rebuild.py` recovers lost links.
Beside  `context.py` is what a run needs, `options.py` what a person asked for.

Where each rule of docs/how-it-works.md is kept:

R1  a write is journaled before it is sent: apply/writer.py, mappings/journal.py
R2  a create is never repeated blindly: apply/creates.py, decide/in_doubt.py, ports.py
R3  three values a field: decide/differences.py, mappings/text.py
R4  absence is proved: read/source.py, read/target.py, decide/absence.py,
    worker/clients/passes.py
R5  a mass of changes stops: decide/guards.py
R6  one bad item never stops the others: apply/items.py, apply/attempts.py, decide/rules.py,
    undo.py
R7  something of the same name is a person's: decide/rules.py, mappings/store.py
R8  one writer: run.py, mappings/locks.py, mappings/compare_and_set.py, apply/writer.py
R9  undone stays undone: undo.py, decide/rules.py
R10  one truth: decide/differences.py, proof.py, verify.py, mappings/overview.py
R11  everything read is bounded: worker/clients/bounds.py, worker/clients/clean.py
R12  what people work in stays: decide/absence.py, apply/updates.py
R13  no message is needed: recording.py, heartbeat.py, mappings/run_record.py, mappings/runs.py
"""
