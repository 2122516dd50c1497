"""Drives headless Chromium through its debugging pipe: messages of JSON, each ended by a zero byte.

The pipe needs no port, so nothing of the driving is in the recordings.
"""

import json
import os
import selectors
import time

FLAGS = """
--headless=new --no-sandbox --disable-gpu --remote-debugging-pipe --no-first-run --no-default-browser-check
--disable-background-networking --disable-component-update --disable-default-apps --disable-sync --disable-extensions
--disable-domain-reliability --disable-breakpad --no-proxy-server --disable-dev-shm-usage --no-pings --lang=en-GB
--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,OptimizationHints,MediaRouter,Translate,DialMediaRouteProvider
""".split()


class Browser:
    """One Chromium with one tab. Use as a context manager."""

    def __init__(self, lab, network, profile="profile"):
        from lab import LabError

        self.error = LabError
        to_browser, self.out = os.pipe()
        self.back, from_browser = os.pipe()
        os.set_inheritable(to_browser, True)
        os.set_inheritable(from_browser, True)
        # The browser reads commands from descriptor 3 and answers on 4.
        line = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self.process = network.spawn(
            "bash", "-c", line, "-", "chromium", *FLAGS, f"--user-data-dir={lab.work / profile}", "about:blank",
            pass_fds=(to_browser, from_browser), env=lab.environment(), log="chromium",
        )
        os.close(to_browser), os.close(from_browser)
        os.set_blocking(self.back, False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.back, selectors.EVENT_READ)
        self.buffer, self.number, self.events, self.session = b"", 0, [], None

    def __enter__(self):
        targets = self.call("Target.getTargets")["targetInfos"]
        tab = next(target["targetId"] for target in targets if target["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)
        return self

    def __exit__(self, *_):
        self.session = None
        try:
            self.call("Browser.close", seconds=10)
            self.process.wait(timeout=10)
        except Exception:  # It is going away in any case.
            self.process.kill()
        os.close(self.out), os.close(self.back)

    def call(self, method, seconds=60, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        answer = self.wait(lambda seen: seen.get("id") == self.number, f"answer to {method}", seconds)
        if "error" in answer:
            raise self.error(f"Chromium: {method}: {answer['error']['message']}")
        return answer["result"]

    def wait(self, wanted, what, seconds=60):
        """The first message for which `wanted` holds, among those kept and those to come."""
        end = time.monotonic() + seconds
        while True:
            for number, message in enumerate(self.events):
                if wanted(message):
                    return self.events.pop(number)
            if time.monotonic() > end or self.process.poll() is not None:
                raise self.error(f"Chromium: no {what}\n{self.process.log.read_text()[-800:]}")
            if self.selector.select(1):
                data = os.read(self.back, 1 << 20)
                *messages, self.buffer = (self.buffer + data).split(b"\0")
                self.events += [json.loads(message) for message in messages]

    def settled(self, loader):
        """Waits until the document of this loader has had a quiet network for half a second."""
        self.wait(
            lambda seen: seen.get("method") == "Page.lifecycleEvent"
            and (seen["params"]["name"], seen["params"]["loaderId"]) == ("networkIdle", loader),
            "quiet network",
        )

    def visit(self, url):
        self.events.clear()
        answer = self.call("Page.navigate", url=url)
        if "errorText" in answer:
            raise self.error(f"Chromium: {url}: {answer['errorText']}")
        self.settled(answer["loaderId"])

    def reload(self, past_cache=False):
        self.events.clear()
        self.call("Page.reload", ignoreCache=past_cache)
        began = self.wait(
            lambda seen: seen.get("method") == "Page.lifecycleEvent" and seen["params"]["name"] == "init", "new document")
        self.settled(began["params"]["loaderId"])

    def run(self, script):
        """Evaluates JavaScript in the page and awaits its promise; returns its value."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise self.error(f"Chromium: {script}: {result['exceptionDetails'].get('exception', {}).get('description')}")
        return result["result"].get("value")
