// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/plot_table_dialog.h"

#include "widgets/support/format_text.h"
#include "widgets/theme/fonts.h"

#include <QAbstractTableModel>
#include <QApplication>
#include <QClipboard>
#include <QDialogButtonBox>
#include <QHeaderView>
#include <QPushButton>
#include <QSortFilterProxyModel>
#include <QTableView>
#include <QVBoxLayout>

namespace {

constexpr int valueRole = Qt::UserRole;

bool isNumber(const QVariant& value)
{
    switch (value.typeId()) {
    case QMetaType::Double:
    case QMetaType::Float:
    case QMetaType::Int:
    case QMetaType::UInt:
    case QMetaType::LongLong:
    case QMetaType::ULongLong: return true;
    default: return false;
    }
}

bool isFloating(const QVariant& value)
{
    return value.typeId() == QMetaType::Double || value.typeId() == QMetaType::Float;
}

class PlotTableModel final : public QAbstractTableModel
{
public:
    PlotTableModel(PlotTable table, QObject* parent)
        : QAbstractTableModel(parent)
        , m_table(std::move(table))
    {
    }

    int rowCount(const QModelIndex& parent = {}) const override
    {
        return parent.isValid() ? 0 : static_cast<int>(m_table.rows.size());
    }
    int columnCount(const QModelIndex& parent = {}) const override
    {
        return parent.isValid() ? 0 : static_cast<int>(m_table.header.size());
    }
    QVariant data(const QModelIndex& index, int role) const override
    {
        if (!checkIndex(index, CheckIndexOption::IndexIsValid | CheckIndexOption::ParentIsInvalid))
            return {};
        auto value = m_table.rows[index.row()].value(index.column());
        if (role == valueRole)
            return value;
        if (role == Qt::DisplayRole)
            return plotCellText(value);
        if (role == Qt::TextAlignmentRole)
            return QVariant(Qt::Alignment(Qt::AlignVCenter | (isNumber(value) ? Qt::AlignRight : Qt::AlignLeft)));
        return {};
    }
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override
    {
        if (orientation == Qt::Horizontal && role == Qt::DisplayRole)
            return m_table.header.value(section);
        return QAbstractTableModel::headerData(section, orientation, role);
    }

private:
    PlotTable m_table;
};

QString cellInFull(const QVariant& value)
{
    return isFloating(value) ? QLocale::c().toString(value.toDouble(), 'g', QLocale::FloatingPointShortest)
                             : value.toString();
}

QString joined(const PlotTable& table, QChar separator, const QString& lineEnd, QString (*quote)(const QString&))
{
    QString text;
    const auto addLine = [&](const QStringList& cells) { text += cells.join(separator) + lineEnd; };
    QStringList line;
    for (const auto& cell : table.header)
        line << quote(cell);
    addLine(line);
    for (const auto& row : table.rows) {
        line.clear();
        for (const auto& cell : row)
            line << quote(cellInFull(cell));
        addLine(line);
    }
    return text;
}

}  // namespace

QString plotCellText(const QVariant& value)
{
    if (isFloating(value))
        return format::number(value.toDouble(), 6);
    return isNumber(value) ? QLocale().toString(value.toLongLong()) : value.toString();
}

QString toTabSeparated(const PlotTable& table)
{
    // Tabs and line breaks inside a cell would shift the columns.
    return joined(table, u'\t', QStringLiteral("\n"),
        [](const QString& cell) { return QString(cell).replace(u'\t', u' ').replace(u'\n', u' '); });
}

QString toCommaSeparated(const PlotTable& table)
{
    return joined(table, u',', QStringLiteral("\r\n"), [](const QString& cell) {
        if (!cell.contains(u',') && !cell.contains(u'"') && !cell.contains(u'\n') && !cell.contains(u'\r'))
            return cell;
        return u'"' + QString(cell).replace(u'"', QStringLiteral("\"\"")) + u'"';
    });
}

PlotTableDialog::PlotTableDialog(const QString& title, const PlotTable& table, QWidget* parent)
    : QDialog(parent)
{
    setWindowTitle(title);
    setAttribute(Qt::WA_DeleteOnClose);

    auto* view = new QTableView;
    view->setAccessibleName(title);
    view->setFont(tabularFont(font()));
    view->setAlternatingRowColors(true);
    view->setSortingEnabled(true);
    view->setWordWrap(false);
    view->verticalHeader()->hide();
    view->horizontalHeader()->setHighlightSections(false);
    auto* sorted = new QSortFilterProxyModel(this);
    sorted->setSourceModel(new PlotTableModel(table, this));
    sorted->setSortRole(valueRole);
    // The order of the plot until a header is clicked.
    view->horizontalHeader()->setSortIndicator(-1, Qt::AscendingOrder);
    view->setModel(sorted);
    view->resizeColumnsToContents();

    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close);
    auto* copy = buttons->addButton(tr("&Copy"), QDialogButtonBox::ActionRole);
    copy->setToolTip(tr("Copies all rows as tab-separated text, ready to paste into a spreadsheet."));
    connect(copy, &QPushButton::clicked, this, [table] { QApplication::clipboard()->setText(toTabSeparated(table)); });
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);

    auto* layout = new QVBoxLayout(this);
    layout->addWidget(view);
    layout->addWidget(buttons);
    resize(560, 420);
}
