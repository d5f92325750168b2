// Package fabric makes a node's cells those of its cluster: it says where a cell is, on which node
// a new one starts, and that a cell runs here only while the cluster agrees.
//
// [New] makes a [Fabric] before there is a cluster, for it is what the cluster tells of leases and
// of records ([group.Tenant], Changed, Meta); [Fabric.Bind] joins both. [Fabric.Names] is the
// directory of package actors.
//
// What it guarantees:
//
//   - A cell that is started here is claimed before it runs anything, and each later incarnation has
//     an epoch of the directory's. The name is given back when the cell's actor is gone, for as
//     long as it takes.
//   - When the lease has lapsed, nothing is started or claimed, and all cells are killed before
//     their hosts end themselves at the same time, so that nothing is left when others may have
//     the names. They are not started again.
//   - A cell of this node whose record is another's is killed, whatever became of the lease.
//   - A name is looked up at the directory's replica here; what another node has reaches the actors
//     by way of it.
//   - A cell that goes to another node is its mover's to see to ([Fabric.Hand]): what the cluster
//     decides about it ends nothing here before the mover lets go, the end of the lease apart. What was
//     decided is told by the changes themselves, also when their answers were lost, and by Decided.
//   - A cell that comes to this node unasked, by the end of another or since that one cannot run
//     it, is told of once ([Config.Inherit]), and its name is nobody else's meanwhile.
//
// A record whose node is gone stays, so that who asks is told so. Who claims the name replaces it,
// and after an hour the leader's node removes it.
//
// Errors are of package cell's vocabulary, and fault.ErrUnavailable of a node that is cut off.
//
// Goroutines: one that removes old records, one for each name that is being given back, and short ones for
// cells that are being killed or come. [Fabric.Close] ends them and waits. Methods may be called from any
// goroutine.
package fabric
