// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

class QTableView;

/// Sets up a table to be read, not edited: whole rows are selected, one at a time, figures stand under each other.
void setUpRowTable(QTableView* table);
