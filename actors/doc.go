// Package actors makes each cell of a node an actor: who has its name can reach it, and nothing
// reaches it in another way.
//
// A [System] has one actor per cell. [System.Spawn] starts a cell by a [Plan] and gives it its
// name; [System.Ask] sends an [Envelope] to a name and waits for the answer; [System.Send] and
// [System.Publish] are for messages that a guest takes with recv.
//
// Other nodes: a [Directory] may say that a cell is reached by way of another node ([Via]), and a
// [Beyond] takes what is published there and is told what is heard here. What comes from another
// node enters with [System.Begin] and [System.PublishHere], and goes no further.
//
// Order: what one sender asks of one cell is begun in the order in which it was asked, in two
// lines: what runs code (Exec, Call) or takes it out (Snapshot), and what is put into the inbox
// (Post). A Move waits for both. Everything else waits for nobody.
//
// At most once: an envelope that has an id which was seen is not done again; it is answered as
// the first was, unless that was not begun. An envelope that names a life is refused by any other
// cell of the name, one that names an epoch by any other incarnation of the cell, and one whose
// deadline has passed is not begun.
//
// Moves: a [Move] has a running cell taken to another node, with what its actor knows of it
// ([Carried]). What comes meanwhile is held, as far as there is credit, and goes on where the cell is
// then; who receives is told [ErrMoved]. What ends or alters the cell has its effect there.
//
// Backpressure: a cell has credit for so many envelopes and bytes that are not answered yet.
// Who would exceed it is answered Busy at once, before the mailbox, so that a cell that is
// flooded slows down nobody else. Who waits for what it posts, and who looks at it, count for
// themselves; what ends it, or replaces its policy, needs no credit.
//
// Supervision: a cell that ends by itself is started again where its plan says so, after a
// pause that doubles. One that ends too often is quarantined: it keeps its name, runs nothing
// and says why, until it is killed or closed or an hour is over. One that was quarantined by
// request is not started again, either.
//
// Goroutines: the mailbox's are protoactor's. Beside them an actor has one for each line that
// has work, one for each envelope of the other kinds, one for a move, and one that waits for the cell's
// end.
// [System.Close] ends the cells, and waits for all of them.
//
// Errors are of package cell's vocabulary.
package actors
