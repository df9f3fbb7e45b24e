"""What every launcher must hold. A member subclasses ``LauncherContract`` and gives the fixture ``driver``."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from clary.control.jobs.launch import MAX_RUNTIME_EXCEEDED, STOPPED, Exit, HostAttempt, Launch, OldAttempt
from clary.control.jobs.launchers.base import Exited, Launcher, Lost, NeverStarted, NotStarted, Running

SECONDS = 30.0  # for anything


class Driver(ABC):
    """How the contract's programs are had from one launcher. ``launcher`` survives what is done here."""

    launcher: Launcher

    @abstractmethod
    def launch(self, what: str, attempt: int = 1, **members: Any) -> Launch:
        """A launch of the host algo-1, prepared. ``what``: ``exit N``, ``wait`` (until it is stopped), ``deaf``."""

    @abstractmethod
    def again(self) -> Launcher:
        """Another launcher on the same hosts: that of the next gateway."""

    @abstractmethod
    async def lose(self, of: HostAttempt) -> None:
        """Whoever knows of the running attempt goes away without a word; part of its program may live on."""

    @abstractmethod
    def report(self, of: HostAttempt, exit: Exit) -> None:
        """The attempt's monitor says how it ended, however late."""

    @abstractmethod
    def alive(self) -> int:
        """How many processes of the host there are, monitors left out."""

    @abstractmethod
    async def up(self) -> None:
        """Until the program that was started last has come as far as it goes by itself."""


def live(what: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(SECONDS):
            await what()

    asyncio.run(limited())


class LauncherContract:
    @pytest.fixture
    def driver(self) -> Driver:
        raise NotImplementedError("a launcher's test says how it is driven")

    @pytest.mark.parametrize("code", [0, 3])
    def test_a_program_from_its_start_to_its_end(self, driver: Driver, code: int) -> None:
        launch = driver.launch(f"exit {code}")

        async def act() -> None:
            assert await driver.launcher.probe(launch.subject) == NeverStarted()
            assert await driver.launcher.ended(launch.subject) == NeverStarted()
            await driver.launcher.start(launch)
            end = await driver.launcher.ended(launch.subject)
            assert isinstance(end, Exited)
            assert (end.exit.attempt, end.exit.code, end.exit.reason, end.exit.error) == (1, code, "", "")
            assert 0 < end.exit.started <= end.exit.ended
            assert await driver.launcher.probe(launch.subject) == end

        live(act)

    def test_a_start_is_one_however_often_it_is_asked_for(self, driver: Driver) -> None:
        launch = driver.launch("wait")

        async def act() -> None:
            await driver.launcher.start(launch)
            await driver.up()
            count = driver.alive()
            await driver.launcher.start(launch)
            assert await driver.launcher.probe(launch.subject) == Running()
            assert driver.alive() == count
            await driver.launcher.stop(launch.subject)
            end = await driver.launcher.ended(launch.subject)
            await driver.launcher.start(launch)
            assert await driver.launcher.probe(launch.subject) == end

        live(act)

    def test_a_stop_may_be_asked_for_any_number_of_times(self, driver: Driver) -> None:
        launch = driver.launch("wait")

        async def act() -> None:
            await driver.launcher.stop(launch.subject)
            await driver.launcher.start(launch)
            await driver.up()
            for _ in range(3):
                await driver.launcher.stop(launch.subject)
            end = await driver.launcher.ended(launch.subject)
            assert isinstance(end, Exited)
            assert (end.exit.code, end.exit.reason) == (0, STOPPED)
            await driver.launcher.stop(launch.subject)

        live(act)

    def test_who_does_not_hear_is_killed_after_the_grace(self, driver: Driver) -> None:
        launch = driver.launch("deaf", grace=0.2)

        async def act() -> None:
            await driver.launcher.start(launch)
            await driver.up()
            await driver.launcher.stop(launch.subject)
            end = await driver.launcher.ended(launch.subject)
            assert isinstance(end, Exited)
            assert (end.exit.signal, end.exit.reason) == (9, STOPPED)

        live(act)

    def test_the_time_limit_is_the_launchers(self, driver: Driver) -> None:
        launch = driver.launch("wait", max_run=0.2)

        async def act() -> None:
            await driver.launcher.start(launch)
            end = await driver.launcher.ended(launch.subject)
            assert isinstance(end, Exited)
            assert (end.exit.code, end.exit.reason) == (0, MAX_RUNTIME_EXCEEDED)

        live(act)

    def test_many_wait_and_some_give_up(self, driver: Driver) -> None:
        launch = driver.launch("wait")

        async def act() -> None:
            await driver.launcher.start(launch)
            await driver.up()
            waiting = [asyncio.create_task(driver.launcher.ended(launch.subject)) for _ in range(4)]
            await asyncio.sleep(0.01)
            waiting[0].cancel()
            await driver.launcher.stop(launch.subject)
            ends = await asyncio.gather(*waiting, return_exceptions=True)
            assert isinstance(ends[0], asyncio.CancelledError)
            assert [type(end) for end in ends[1:]] == [Exited] * 3

        live(act)

    def test_the_next_gateway_finds_what_runs(self, driver: Driver) -> None:
        launch = driver.launch("wait")

        async def first() -> None:
            await driver.launcher.start(launch)
            await driver.up()
            await driver.launcher.close()

        async def second() -> None:
            found = driver.again()
            assert await found.probe(launch.subject) == Running()
            await found.stop(launch.subject)
            assert isinstance(await found.ended(launch.subject), Exited)
            await found.close()

        live(first)
        live(second)

    def test_an_attempt_whose_monitor_goes_is_lost_and_stays_so(self, driver: Driver) -> None:
        launch = driver.launch("wait")

        async def act() -> None:
            await driver.launcher.start(launch)
            await driver.up()
            waiting = asyncio.create_task(driver.launcher.ended(launch.subject))
            await asyncio.sleep(0)
            await driver.lose(launch.subject)
            assert await waiting == Lost()
            await driver.launcher.start(launch)
            assert await driver.launcher.probe(launch.subject) == Lost()

        live(act)

    def test_the_next_attempt_runs_alone_and_the_one_before_has_no_say(self, driver: Driver) -> None:
        first, second = driver.launch("wait"), driver.launch("wait", attempt=2)

        async def act() -> None:
            await driver.launcher.start(first)
            await driver.up()
            count = driver.alive()
            with pytest.raises(NotStarted):
                await driver.launcher.start(second)
            assert await driver.launcher.probe(second.subject) == NeverStarted()
            await driver.lose(first.subject)
            await driver.launcher.start(second)
            await driver.up()
            assert driver.alive() == count, "the lost attempt's processes are dead"
            for question in (driver.launcher.probe, driver.launcher.ended):
                with pytest.raises(OldAttempt):
                    await question(first.subject)
            with pytest.raises(OldAttempt):
                await driver.launcher.start(first)
            await driver.launcher.stop(first.subject)
            await driver.launcher.kill(first.subject)
            assert await driver.launcher.probe(second.subject) == Running()
            await driver.launcher.stop(second.subject)
            assert isinstance(await driver.launcher.ended(second.subject), Exited)

        live(act)

    @pytest.mark.parametrize("running", [True, False])
    def test_a_report_of_an_old_attempt_is_refused(self, driver: Driver, running: bool) -> None:
        first, second = driver.launch("wait"), driver.launch("wait" if running else "exit 0", attempt=2)
        late = Exit(1, 3, started=1.0, ended=2.0)

        async def act() -> None:
            await driver.launcher.start(first)
            await driver.up()
            await driver.lose(first.subject)
            await driver.launcher.start(second)
            if running:
                driver_report(driver, first.subject, late)
                assert await driver.launcher.probe(second.subject) == Running()
                await driver.launcher.stop(second.subject)
            end = await driver.launcher.ended(second.subject)
            assert isinstance(end, Exited)
            driver_report(driver, first.subject, late)
            assert await driver.launcher.probe(second.subject) == end

        live(act)

    def test_kill_leaves_nothing(self, driver: Driver) -> None:
        launch = driver.launch("deaf", grace=600.0)

        async def act() -> None:
            await driver.launcher.kill(launch.subject)
            await driver.launcher.start(launch)
            await driver.up()
            await driver.launcher.kill(launch.subject)
            assert driver.alive() == 0
            assert await driver.launcher.probe(launch.subject) == Lost()
            await driver.launcher.kill(launch.subject)

        live(act)

    def test_kill_sees_to_what_a_lost_attempt_left(self, driver: Driver) -> None:
        launch = driver.launch("wait")

        async def act() -> None:
            await driver.launcher.start(launch)
            await driver.up()
            await driver.lose(launch.subject)
            await driver.launcher.kill(launch.subject)
            assert driver.alive() == 0

        live(act)


def driver_report(driver: Driver, of: HostAttempt, exit: Exit) -> None:
    """A report that is refused with OldAttempt, or unheard."""
    try:
        driver.report(of, exit)
    except OldAttempt:
        return
