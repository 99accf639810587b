// Package hygiene judges a message: a fixed table of checks, each of which
// has a name, a reason, points, and what would make its finding harmless,
// looks at the message's document, and the sum of the points is the verdict.
//
// It owns the checks, the lists they read, the verdict and the alert made of
// it. It asks outside services only through the [Services] it is given, and
// does not know how they are reached, nor that there is a log. A verdict is a
// pure function of the document, the lists and the services' answers, which
// it records.
package hygiene

// Version is the version of the checks. It goes up when a check changes what
// it finds.
const Version = 1
