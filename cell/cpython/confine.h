// What a cell's thread gives up before its first guest instruction.
#pragma once

// Clears every capability set of the calling thread, the bounding set included,
// so that threads it starts have none either. Other threads keep theirs.
void drop_capabilities(void);
