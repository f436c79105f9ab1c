"""Writing and reading a JSON document by the standard library."""

import json

from .lehmer import lehmer


def prepare(parameters):
    records = parameters["records_count"]

    def chunk(index):
        text = json.dumps([
            {
                "id": j, "name": f"record {j}", "tags": ["a", "b", "c"],
                "value": lehmer(index * records + j, 1), "on": j % 2 == 0,
            }
            for j in range(records)
        ])
        return sum(
            record["id"] + record["value"] % 1000 + len(record["tags"]) + len(record["name"]) + record["on"]
            for record in json.loads(text)
        )

    return chunk
