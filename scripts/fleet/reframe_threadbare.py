"""threadbare as a ReFrame test: a whole run a node, alone on it.

    reframe -C YOUR_CONFIG.py -c scripts/fleet/reframe_threadbare.py -r

Sanity is the end record of the run; performance are the ratios of each lane to the lane
`thread` on the same node, below 1 if the lane is better. Kinds of node are the partitions
of your configuration (`access: ['--constraint=FEATURE']`). The runs are kept in
THREADBARE_RESULTS, where `threadbare collect` says what is missing.
"""

import itertools
import json
import os
import shlex

import reframe as rfm
import reframe.utility.sanity as sn
from reframe.core.builtins import run_after, run_before, sanity_function, variable


@rfm.simple_test
class ThreadbareRun(rfm.RunOnlyRegressionTest):
    descr = 'costs of goroutines, threads, processes and async tasks'
    valid_systems = ['*']
    valid_prog_environs = ['*']
    num_tasks = 1
    exclusive_access = True
    time_limit = '2h'
    program = variable(str, value=os.environ.get('THREADBARE', 'threadbare'))
    arguments = variable(str, value=os.environ.get('THREADBARE_ARGUMENTS', ''))
    results = variable(str, value=os.environ.get('THREADBARE_RESULTS', ''))

    @run_after('setup')
    def command(self):
        kind = self.current_partition.name
        # The job runs in another folder.
        results = self.results and os.path.abspath(self.results)
        name = f'reframe-{kind}'
        if results:
            os.makedirs(results, exist_ok=True)
            with open(os.path.join(results, 'expected.tsv'), 'a+') as expected:
                # Further runs of a kind are replicates with other names.
                expected.seek(0)
                known = {line.split('\t')[0] for line in expected}
                numbered = (f'reframe-{kind}-{number}' for number in itertools.count(2))
                known.update(os.listdir(results))
                name = next(one for one in itertools.chain([name], numbered) if one not in known)
                expected.write(f'{name}\t{kind}\treframe\n')
        out = os.path.join(results or self.stagedir, name)
        self.executable = self.program
        self.executable_opts = ['run', '--out', out] + shlex.split(self.arguments)
        self.env_vars['THREADBARE_PLACED'] = f'"tool=reframe kind={kind}"'
        self.run_file = os.path.join(out, 'run.jsonl')
        shown = os.path.join(self.stagedir, 'figures.json')
        self.postrun_cmds = [f'{self.program} show {shlex.quote(out)} --format json > {shlex.quote(shown)}']
        self.figures = shown

    @sanity_function
    def has_ended(self):
        return sn.assert_found(r'"type":"end".*"interrupted":false', self.run_file)

    @run_before('performance')
    def ratios(self):
        with open(self.figures) as shown:
            rows = json.load(shown)['rows']
        main = {}
        for row in rows:
            # The first figure of a workload is its main figure.
            quantity = main.setdefault(row['workload'], row['quantity']['id'])
            standing = row.get('standing')
            if standing and row['quantity']['id'] == quantity:
                case = '-'.join(str(value) for value in row['case'].values())
                name = '-'.join(filter(None, [row['workload'], case, row['lane']]))
                ratio = standing['ratio']['value']
                self.perf_variables[name] = sn.make_performance_function(sn.defer(ratio), 'x')
