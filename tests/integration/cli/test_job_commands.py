"""Submitting, planning and stopping jobs, and following what becomes of them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

Hanse = Callable[..., Any]
HCL = """\
variable "count" {
  type    = number
  default = 1
}

job "web" {
  group "g" {
    count = var.count
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/true"
      }
    }
  }
}
"""


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    file = tmp_path / "web.nomad.hcl"
    file.write_text(HCL)
    return file


def script_run(
    agent: Any, fixtures: Mapping[str, Any], deployments: list[Any], **evaluation: object
) -> None:
    ids = fixtures["ids"]
    whole = {**fixtures["eval"], **evaluation}
    pending = {**whole, "Status": "pending", "DeploymentID": "", "FailedTGAllocs": None}
    agent.on("PUT", "/v1/jobs", {"EvalID": ids["eval"], "JobModifyIndex": 20})
    agent.on("GET", f"/v1/evaluation/{ids['eval']}", pending, whole)
    agent.on("GET", f"/v1/evaluation/{ids['eval']}/allocations", [], [fixtures["alloc_stub"]])
    agent.on("GET", f"/v1/deployment/{ids['deployment']}", *deployments)


def deployment(fixtures: Mapping[str, Any], status: str, **state: object) -> dict[str, Any]:
    found = fixtures["deployment"]
    group = {**found["TaskGroups"]["g"], **state}
    return {**found, "Status": status, "TaskGroups": {"g": group}}


def test_a_job_is_submitted_and_followed_to_the_end_of_its_deployment(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any], job_file: Path
) -> None:
    done = deployment(fixtures, "successful", HealthyAllocs=1)
    script_run(agent, fixtures, [fixtures["deployment"], done])
    ended = hanse(f"job run {job_file}")
    assert (ended.code, ended.err) == (0, "")
    at = "2026-01-02T03:04:05Z"
    body = (
        "    ID          = b1839b6c\n"
        "    Job ID      = web\n"
        "    Job Version = 2\n"
        "    Status      = {status}\n"
        "    Description = Deployment is running\n"
        "\n"
        "    Deployed\n"
        "    Task Group  Auto Revert  Desired  Placed  Healthy  Unhealthy  Progress Deadline\n"
        "    g           true         1        1       {healthy}        0"
        "          2026-01-02T03:13:05Z\n"
        "\n"
    )
    assert ended.out == (
        f'==> {at}: Monitoring evaluation "026ca1bb"\n'
        f'    {at}: Evaluation triggered by job "web"\n'
        f'    {at}: Evaluation within deployment: "b1839b6c"\n'
        f'    {at}: Allocation "83c381b1" created: node "c404221f", group "g"\n'
        f'    {at}: Evaluation status changed: "pending" -> "complete"\n'
        f'==> {at}: Evaluation "026ca1bb" finished with status "complete"\n'
        f'==> {at}: Monitoring deployment "b1839b6c"\n'
        + body.format(status="running", healthy=0)
        + f'==> {at}: Monitoring deployment "b1839b6c"\n'
        + body.format(status="successful", healthy=1)
        + '  ✓ Deployment "b1839b6c" successful\n'
    )


def test_what_is_submitted_is_the_job_with_its_source_and_its_variables(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any], job_file: Path
) -> None:
    script_run(agent, fixtures, [])
    ended = hanse(f"job run -detach -var count=3 -check-index 0 -preserve-counts {job_file}")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (f"Job registration successful\nEvaluation ID: {fixtures['ids']['eval']}\n")
    sent = agent.asked("PUT", "/v1/jobs").json
    assert sent["Job"]["ID"] == "web"
    assert sent["Job"]["TaskGroups"][0]["Count"] == 3
    assert sent["Submission"]["Source"] == HCL
    assert sent["Submission"]["Format"] == "hcl2"
    assert sent["Submission"]["VariableFlags"] == {"count": "3"}
    assert (sent["EnforceIndex"], sent["JobModifyIndex"]) == (True, 0)
    assert sent["PreserveCounts"] is True


def test_a_file_of_variables_counts_too_and_an_undeclared_one_is_an_error(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any], job_file: Path, tmp_path: Path
) -> None:
    script_run(agent, fixtures, [])
    values = tmp_path / "values.hcl"
    values.write_text("count = 4\n")
    assert hanse(f"run -detach -var-file {values} {job_file}").code == 0
    assert agent.asked("PUT", "/v1/jobs").json["Job"]["TaskGroups"][0]["Count"] == 4
    ended = hanse(f"run -detach -var nope=1 {job_file}")
    assert ended.code == 1
    assert "nope" in ended.err
    assert hanse(f"run -detach -hcl2-strict=false -var nope=1 {job_file}").code == 0


def test_standard_input_and_json_are_read_as_well(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    script_run(agent, fixtures, [])
    assert hanse("job run -detach -", answers=HCL).code == 0
    for text in ('{"Job": {"Id": "web"}}', '{"id": "web"}'):
        assert hanse("job run -detach -json -", answers=text).code == 0
        sent = agent.asked("PUT", "/v1/jobs").json
        assert sent["Job"]["ID"] == "web"
        assert sent["Submission"]["Format"] == "json"
    for text in ("[]", "{", ""):
        ended = hanse("job run -json -", answers=text)
        assert ended.code == 1
        assert ended.err.startswith("Error reading -: not ")


def test_the_job_names_its_own_region_and_namespace(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    script_run(agent, fixtures, [])
    job = '{"ID": "web", "Region": "east", "Namespace": "apps"}'
    assert hanse("job run -detach -json -region west -", answers=job).code == 0
    assert agent.requests[-1].query == {"region": "east", "namespace": "apps"}


def test_output_prints_the_job_and_submits_nothing(
    agent: Any, hanse: Hanse, job_file: Path
) -> None:
    ended = hanse(f"job run -output {job_file}")
    assert json.loads(ended.out)["Job"]["ID"] == "web"
    assert agent.requests == []


def test_a_broken_file_is_reported_with_line_and_column(
    agent: Any, hanse: Hanse, job_file: Path
) -> None:
    job_file.write_text('job "web" {\n  group "g" {\n    count = \n  }\n}\n')
    ended = hanse(f"job run {job_file}")
    assert (ended.code, ended.out) == (1, "")
    assert f"{job_file}:3:" in ended.err
    assert "^" in ended.err
    missing = hanse("job run /does/not/exist.hcl")
    assert missing.err == "Error reading /does/not/exist.hcl: No such file or directory\n"
    assert agent.requests == []


FAILED = {
    "g": {
        "NodesEvaluated": 1,
        "CoalescedFailures": 3,
        "NodesExhausted": 1,
        "DimensionExhausted": {"network: reserved port collision https=443": 1},
    }
}


def test_what_finds_no_place_is_told_and_the_exit_code_is_2(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any], job_file: Path
) -> None:
    waiting = deployment(fixtures, "running", DesiredTotal=5, HealthyAllocs=1)
    script_run(
        agent,
        fixtures,
        [deployment(fixtures, "running", DesiredTotal=5), waiting],
        FailedTGAllocs=FAILED,
        BlockedEval="c4eb0bd6-0000-0000-0000-000000000000",
    )
    ended = hanse(f"job run {job_file}")
    assert ended.code == 2
    at = "2026-01-02T03:04:05Z"
    assert (
        f'==> {at}: Evaluation "026ca1bb" finished with status "complete" but failed to place '
        "all allocations:\n"
        f'    {at}: Task Group "g" (failed to place 4 allocations):\n'
        f"    {at}:   * Resources exhausted on 1 node\n"
        f'    {at}:   * Dimension "network: reserved port collision https=443" exhausted on '
        "1 node\n"
        f'    {at}: Evaluation "c4eb0bd6" waiting for additional capacity to place remainder\n'
    ) in ended.out
    assert ended.out.endswith(
        '  ! Deployment "b1839b6c" waits for capacity: 4 allocations not placed\n'
    )


def test_without_a_deployment_a_placement_failure_is_2_as_well(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any], job_file: Path
) -> None:
    script_run(agent, fixtures, [], FailedTGAllocs=FAILED, DeploymentID="")
    assert hanse(f"job run {job_file}").code == 2


def test_a_failed_deployment_ends_with_1_and_shows_the_way_back(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any], job_file: Path
) -> None:
    back = "77777777-6ba1-435b-85c1-ec4a0accd85b"
    failed = deployment(fixtures, "failed", UnhealthyAllocs=1)
    failed["StatusDescription"] = (
        "Failed due to unhealthy allocations - rolling back to job version 1"
    )
    script_run(agent, fixtures, [failed])
    rolled = {**deployment(fixtures, "successful", HealthyAllocs=1), "ID": back}
    agent.on("GET", "/v1/job/web/deployment", rolled)
    agent.on("GET", f"/v1/deployment/{back}", rolled)
    ended = hanse(f"job run {job_file}")
    assert ended.code == 1
    assert '  ! Deployment "b1839b6c" failed\n' in ended.out
    assert '  ✓ Deployment "77777777" successful\n' in ended.out


def test_a_failed_evaluation_ends_with_1(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any], job_file: Path
) -> None:
    script_run(agent, fixtures, [], Status="failed", StatusDescription="maximum attempts reached")
    ended = hanse(f"job run {job_file}")
    assert ended.code == 1
    assert 'finished with status "failed": maximum attempts reached\n' in ended.out


def test_on_a_terminal_the_deployment_renews_itself_in_place(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any], job_file: Path
) -> None:
    done = deployment(fixtures, "successful", HealthyAllocs=1)
    script_run(agent, fixtures, [fixtures["deployment"], done])
    ended = hanse(f"job run {job_file}", terminal=True)
    assert ended.code == 0
    assert '⠋ Deployment "b1839b6c" in progress...' in ended.out
    # Ten lines, two of which take two rows of the 80 columns there are.
    assert "\x1b[12A\x1b[J" in ended.out
    assert ended.out.rstrip().endswith("2026-01-02T03:13:05Z")


def test_a_job_that_has_changed_meanwhile_is_not_updated(
    agent: Any, hanse: Hanse, job_file: Path, scripted_reply: Any
) -> None:
    text = b"Enforcing job modify index 7: job exists with conflicting job modify index: 9"
    agent.on("PUT", "/v1/jobs", scripted_reply(text, status=500))
    ended = hanse(f"job run -check-index 7 {job_file}")
    assert (ended.code, ended.err) == (1, text.decode() + "\nJob not updated\n")


def test_warnings_of_the_servers_are_shown(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any], job_file: Path
) -> None:
    script_run(agent, fixtures, [])
    agent.on("PUT", "/v1/jobs", {"EvalID": fixtures["ids"]["eval"], "Warnings": "1 odd thing"})
    assert hanse(f"job run -detach {job_file}").out.startswith("Job Warnings:\n1 odd thing\n\n")


PLAN = {
    "JobModifyIndex": 20,
    "Annotations": {"DesiredTGUpdates": {"g": {"Place": 2}}},
    "Diff": {
        "Type": "Edited",
        "ID": "web",
        "TaskGroups": [
            {
                "Type": "Edited",
                "Name": "g",
                "Updates": {"create": 2},
                "Fields": [
                    {
                        "Type": "Edited",
                        "Name": "Count",
                        "Old": "1",
                        "New": "3",
                        "Annotations": ["forces create"],
                    }
                ],
                "Objects": None,
                "Tasks": None,
            }
        ],
    },
    "FailedTGAllocs": None,
}


def test_a_plan_shows_differences_the_dry_run_and_how_to_submit(
    agent: Any, hanse: Hanse, job_file: Path
) -> None:
    agent.on("PUT", "/v1/job/web/plan", PLAN)
    ended = hanse(f"job plan -var count=3 {job_file}")
    assert ended.code == 1
    assert ended.out.startswith(
        '+/- Job: "web"\n'
        '+/- Task Group: "g" (2 create)\n'
        '  +/- Count: "1" => "3" (forces create)\n'
        "\n"
        "Scheduler dry-run:\n"
        "- All tasks successfully allocated.\n"
        "\n"
        "Job Modify Index: 20\n"
        "To submit the job with version verification run:\n"
        "\n"
        f"hanse job run -check-index 20 -var=count=3 {job_file}\n"
    )
    assert agent.asked("PUT", "/v1/job/web/plan").json["Diff"] is True
    quiet = hanse(f"job plan -diff=false {job_file}")
    assert quiet.out.startswith("Scheduler dry-run:\n")
    assert json.loads(hanse(f"job plan -json-output {job_file}").out) == PLAN


def test_an_error_of_a_plan_is_255(agent: Any, hanse: Hanse, job_file: Path) -> None:
    assert hanse(f"job plan {job_file}").code == 255
    assert hanse("job plan /does/not/exist").code == 255
    assert hanse("job plan").code == 255
    agent.on("PUT", "/v1/job/web/plan", {"JobModifyIndex": 20})
    assert hanse(f"job plan {job_file}").code == 0


def test_validation_tells_all_that_is_wrong(agent: Any, hanse: Hanse, job_file: Path) -> None:
    agent.on("PUT", "/v1/validate/job", {"DriverConfigValidated": True, "ValidationErrors": None})
    assert hanse(f"validate {job_file}").out == "Job validation successful\n"
    wrong = {"DriverConfigValidated": True, "ValidationErrors": ["one", "two"]}
    agent.on("PUT", "/v1/validate/job", wrong)
    ended = hanse(f"validate {job_file}")
    assert (ended.code, ended.err) == (1, "Job validation errors:\n  * one\n  * two\n")


def test_without_an_agent_a_file_is_still_checked_here(hanse: Hanse, job_file: Path) -> None:
    ended = hanse(f"validate -address http://127.0.0.1:1 {job_file}")
    assert (ended.code, ended.out) == (0, "Job validation successful\n")
    assert "not checked further" in ended.err


def test_a_job_named_by_a_prefix_is_stopped_only_after_a_yes(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    script_run(agent, fixtures, [], DeploymentID="")
    agent.on("GET", "/v1/jobs", [fixtures["job_stub"]])
    agent.on("DELETE", "/v1/job/web", {"EvalID": fixtures["ids"]["eval"]})
    ended = hanse("job stop we", answers="yes\n")
    assert ended.out == ('Are you sure you want to stop job "web"? [y/N] Cancelling job stop\n')
    assert not [r for r in agent.requests if r.method == "DELETE"]
    assert hanse("job stop -detach we", answers="y\n").code == 0
    ended = hanse("job stop -purge -detach web")
    assert ended.out == f"Evaluation ID: {fixtures['ids']['eval']}\n"
    assert agent.asked("DELETE", "/v1/job/web").query == {"purge": "true", "namespace": "default"}
    assert hanse("stop web").code == 0


def test_a_stopped_job_starts_again_as_it_last_ran(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    script_run(agent, fixtures, [], DeploymentID="")
    agent.on("GET", "/v1/jobs", [{**fixtures["job_stub"], "Stop": True}])
    stopped = {**fixtures["job"], "Version": 3, "Stop": True, "Priority": 1}
    agent.on("GET", "/v1/job/web/versions", {"Versions": [stopped, fixtures["job"]]})
    assert hanse("job start -detach web").code == 0
    sent = agent.asked("PUT", "/v1/jobs").json["Job"]
    assert (sent["Stop"], sent["Priority"]) == (False, 50)
    agent.on("GET", "/v1/jobs", [fixtures["job_stub"]])
    assert hanse("job start web").err == 'Job "web" is not stopped: its status is running\n'


def test_counts_are_changed_by_group_or_without_it_where_there_is_one(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    agent.on("GET", "/v1/jobs", [fixtures["job_stub"]])
    agent.on("GET", "/v1/job/web", fixtures["job"])
    agent.on("PUT", "/v1/job/web/scale", {"EvalID": fixtures["ids"]["eval"]})
    ended = hanse("job scale -detach web 3")
    assert ended.out.startswith("Job scale successful\nEvaluation ID: ")
    sent = agent.asked("PUT", "/v1/job/web/scale").json
    assert (sent["Count"], sent["Target"]) == (3, {"Group": "g"})
    assert hanse("job scale -detach web other 4").code == 0
    assert agent.asked("PUT", "/v1/job/web/scale").json["Target"] == {"Group": "other"}
    assert hanse("job scale web g many").code == 1


def test_versions_are_reverted_to_and_tagged_by_number_or_name(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    agent.on("GET", "/v1/jobs", [fixtures["job_stub"]])
    agent.on("GET", "/v1/job/web", fixtures["job"])
    tagged = {**fixtures["job"], "Version": 1, "VersionTag": {"Name": "gold"}}
    agent.on("GET", "/v1/job/web/versions", {"Versions": [fixtures["job"], tagged]})
    agent.on("PUT", "/v1/job/web/revert", {"EvalID": fixtures["ids"]["eval"]})
    assert hanse("job revert -detach web gold").code == 0
    assert agent.asked("PUT", "/v1/job/web/revert").json["JobVersion"] == 1
    assert "no version with the tag" in hanse("job revert web silver").err
    agent.on("PUT", "/v1/job/web/versions/x/tag", {"Name": "x"})
    ended = hanse("job tag apply -name x -description why web")
    assert ended.out == 'Job version 2 tagged with name "x"\n'
    agent.on("DELETE", "/v1/job/web/versions/x/tag", None)
    assert hanse("job tag unset -name x web").out == 'Tag "x" removed from job "web"\n'
    assert "-name must be given" in hanse("job tag unset web").err


def test_history_shows_versions_with_what_changed(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    agent.on("GET", "/v1/jobs", [fixtures["job_stub"]])
    first = {**fixtures["job"], "Version": 1, "Stable": True}
    answer = {"Versions": [fixtures["job"], first], "Diffs": [PLAN["Diff"]]}
    agent.on("GET", "/v1/job/web/versions", answer)
    assert hanse("job history web").out == (
        "Version     = 2\n"
        "Stable      = false\n"
        "Submit Date = 2026-01-02T03:03:05Z\n"
        "Diff        =\n"
        '+/- Job: "web"\n'
        '+/- Task Group: "g" (2 create)\n'
        '  +/- Count: "1" => "3" (forces create)\n'
        "\n"
        "Version     = 1\n"
        "Stable      = true\n"
        "Submit Date = 2026-01-02T03:03:05Z\n"
    )
    assert hanse("job history -version 9 web").err == 'Job "web" has no version 9\n'


def test_a_job_is_inspected_as_json_or_as_it_was_written(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    agent.on("GET", "/v1/jobs", [fixtures["job_stub"]])
    agent.on("GET", "/v1/job/web", fixtures["job"])
    assert json.loads(hanse("inspect web").out) == {"Job": fixtures["job"]}
    first = {**fixtures["job"], "Version": 1}
    agent.on("GET", "/v1/job/web/versions", {"Versions": [fixtures["job"], first]})
    assert json.loads(hanse("job inspect -version 1 web").out)["Job"]["Version"] == 1
    submission = {"Source": HCL, "VariableFlags": {"count": "3"}, "Variables": ""}
    agent.on("GET", "/v1/job/web/submission", submission)
    assert hanse("job inspect -hcl web").out == HCL
    assert hanse("job inspect -hcl -with-vars web").out == f"# -var count=3\n{HCL}"


def test_restarts_go_batch_by_batch(agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]) -> None:
    agent.on("GET", "/v1/jobs", [fixtures["job_stub"]])
    stubs = [{**fixtures["alloc_stub"], "ID": f"{n}" * 8, "Name": f"web.g[{n}]"} for n in (1, 2, 3)]
    agent.on("GET", "/v1/job/web/allocations", stubs)
    for n in (1, 2, 3):
        agent.on("PUT", f"/v1/client/allocation/{str(n) * 8}/restart", {})
    ended = hanse("job restart -batch-size 50% -batch-wait 5s web")
    at = "2026-01-02T03:04:05Z"
    assert ended.out == (
        f"==> {at}: Restarting 3 allocations\n"
        f'    {at}: Restarting allocation "11111111"\n'
        f'    {at}: Restarting allocation "22222222"\n'
        f"    {at}: Waiting 5s before the next batch\n"
        f'    {at}: Restarting allocation "33333333"\n'
        f"==> {at}: Job restarted successfully!\n"
    )
    stopped = hanse("job restart -batch-wait ask web", answers="n\n")
    assert stopped.code == 1
    assert "Proceed with next batch? [Y/n/<wait duration>] " in stopped.out
    assert hanse("job restart -group nope web").out == "No allocations to restart\n"


def test_an_example_job_is_written_once(
    hanse: Hanse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = hanse("job init -short")
    assert ended.out == "Example job file written to example.nomad.hcl\n"
    text = (tmp_path / "example.nomad.hcl").read_text()
    assert text.startswith('job "example" {')
    again = hanse("init")
    assert (again.code, again.err) == (1, "Job file 'example.nomad.hcl' already exists\n")
    assert hanse("job init other.hcl").code == 0
    assert hanse("job init -connect").err == "Error: not supported yet: -connect\n"


def test_files_are_formatted_checked_and_left_alone_when_broken(
    hanse: Hanse, tmp_path: Path
) -> None:
    file, good = tmp_path / "a.hcl", tmp_path / "b.nomad"
    file.write_text('job "x" {\n a=1 # why\n}\n')
    good.write_text('job "x" {\n  a = 1\n}\n')
    ended = hanse(f"fmt -check {tmp_path}")
    assert (ended.code, ended.out) == (1, f"{file}\n")
    assert hanse(f"fmt {tmp_path}").code == 0
    assert file.read_text() == 'job "x" {\n  a = 1 # why\n}\n'
    assert hanse(f"fmt -check {tmp_path}").code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.hcl", "b.nomad"]
    file.write_text("job {")
    ended = hanse(f"fmt {file}")
    assert ended.code == 1
    assert f"{file}:1:" in ended.err
    assert file.read_text() == "job {"
    assert hanse("fmt -", answers="a=1\n").out == "a = 1\n"
