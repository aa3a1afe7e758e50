// SPDX-License-Identifier: GPL-3.0-or-later
// The only file that names <qcustomplot.h>: version 2.1 still needs the Qt keywords that are switched off for TBB.
#pragma once

#define signals Q_SIGNALS
#define slots Q_SLOTS
#define emit
#define foreach Q_FOREACH
#include <qcustomplot.h>
#undef signals
#undef slots
#undef emit
#undef foreach
