// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/row_table.h"

#include "widgets/theme/fonts.h"

#include <QHeaderView>
#include <QTableView>

void setUpRowTable(QTableView* table)
{
    table->setFont(tabularFont(table->font()));
    table->setSelectionBehavior(QAbstractItemView::SelectRows);
    table->setSelectionMode(QAbstractItemView::SingleSelection);
    table->setEditTriggers(QAbstractItemView::NoEditTriggers);
    table->setAlternatingRowColors(true);
    table->setShowGrid(false);
    table->setTabKeyNavigation(false);
    table->verticalHeader()->hide();
    table->verticalHeader()->setDefaultSectionSize(table->fontMetrics().height() + 6);
    table->horizontalHeader()->setHighlightSections(false);
}
