"""A node of one's own with a pool of cells that stand ready, and the restricted dialect."""

import pyisolate as iso

with iso.Supervisor(rollout_mode="dev", warm_pool=2) as supervisor:
    for n in range(3):
        with supervisor.spawn() as cell:
            cell.exec(f"post({n} + 1)")
            print(cell.recv())
    with iso.RestrictedExec(client=supervisor.client) as cell:
        cell.exec("a = [1, 2]\nb = move(a)\npost(sum(b))")
        print(cell.recv())
        try:
            cell.exec("post(a)")
        except iso.OwnershipError as error:
            print(error.message.partition(" (")[0])

# Output:
# 1
# 2
# 3
# 3
# 'a' was moved on line 2
