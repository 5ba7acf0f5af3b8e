"""Opens a page in headless Chromium: `browser.py PAGE EXPRESSION [SCREENSHOT]`; prints as JSON what the expression (JavaScript) gives, what went
wrong in the page, and what it loaded.

Chromium is spoken to through a pair of pipes: JSON messages, each ended by a NUL.
"""
import base64
import json
import os
import subprocess
import sys
import tempfile


class Browser:
    def __init__(self, profile):
        to_child, self.out = os.pipe()
        self.inp, from_child = os.pipe()

        def connect():
            # 3 and 4 may be in use by the pipes themselves.
            a, b = os.dup(to_child), os.dup(from_child)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(
            ['chromium', '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
             '--remote-debugging-pipe', '--user-data-dir=' + profile, '--window-size=1240,1600', 'about:blank'],
            preexec_fn=connect, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_child)
        os.close(from_child)
        self.buffer, self.number, self.events = b'', 0, []

    def read(self):
        while b'\0' not in self.buffer:
            data = os.read(self.inp, 1 << 20)
            if not data:
                raise EOFError('the browser has ended')
            self.buffer += data
        message, self.buffer = self.buffer.split(b'\0', 1)
        return json.loads(message)

    def call(self, method, session=None, **params):
        self.number += 1
        message = {'id': self.number, 'method': method, 'params': params}
        if session:
            message['sessionId'] = session
        os.write(self.out, json.dumps(message).encode() + b'\0')
        while True:
            answer = self.read()
            if answer.get('id') == self.number:
                if 'error' in answer:
                    raise RuntimeError(answer['error'])
                return answer['result']
            self.events.append(answer)

    def wait(self, method):
        while not any(event.get('method') == method for event in self.events):
            self.events.append(self.read())


def main():
    page, expression = os.path.abspath(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(profile)
        target = browser.call('Target.createTarget', url='about:blank')['targetId']
        session = browser.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in ('Page', 'Network', 'Log', 'Runtime'):
            browser.call(domain + '.enable', session)
        browser.call('Page.navigate', session, url='file://' + page)
        browser.wait('Page.loadEventFired')
        value = browser.call('Runtime.evaluate', session, expression=expression, returnByValue=True)
        if len(sys.argv) > 3:
            picture = browser.call('Page.captureScreenshot', session, format='png')['data']
            with open(sys.argv[3], 'wb') as out:
                out.write(base64.b64decode(picture))
        requests = [event['params']['request']['url'] for event in browser.events
                    if event.get('method') == 'Network.requestWillBeSent']
        errors = [event['params'] for event in browser.events
                  if event.get('method') in ('Log.entryAdded', 'Runtime.exceptionThrown', 'Runtime.consoleAPICalled')]
        print(json.dumps({'value': value['result'].get('value'), 'exception': value.get('exceptionDetails'), 'errors': errors,
                          'requests': [url for url in requests if url != 'file://' + page]}))
        browser.call('Browser.close')
        browser.process.wait(timeout=20)


main()
