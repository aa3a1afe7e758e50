// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/models/findings_model.h"

#include <QLocale>

namespace {

/// From here up a finding is not a matter of decibels: broken or constant tensors.
constexpr double brokenSeverity = 500.0;

QString severityText(double severity)
{
    return severity >= brokenSeverity ? FindingsModel::tr("broken") : QLocale().toString(severity, 'f', 1);
}

}  // namespace

void FindingsModel::setFindings(std::vector<quantloupe::Finding> findings)
{
    if (findings == m_findings)
        return;
    beginResetModel();
    m_findings = std::move(findings);
    endResetModel();
}

int FindingsModel::rowCount(const QModelIndex& parent) const
{
    return parent.isValid() ? 0 : static_cast<int>(m_findings.size());
}

int FindingsModel::columnCount(const QModelIndex& parent) const
{
    return parent.isValid() ? 0 : ColumnCount;
}

QVariant FindingsModel::data(const QModelIndex& index, int role) const
{
    if (!checkIndex(index, CheckIndexOption::IndexIsValid | CheckIndexOption::ParentIsInvalid))
        return {};
    const auto& finding = m_findings[static_cast<std::size_t>(index.row())];
    const bool shown = role == Qt::DisplayRole;
    if (role == TensorRole)
        return QString::fromStdString(finding.tensor);
    if (role == Qt::ToolTipRole)
        return QString::fromStdString(finding.tensor + "\n" + finding.text);
    if (role == Qt::TextAlignmentRole)
        return QVariant(
            Qt::Alignment(Qt::AlignVCenter | (index.column() == Severity ? Qt::AlignRight : Qt::AlignLeft)));
    if (!shown && role != ValueRole)
        return {};
    switch (index.column()) {
    case Tensor: return QString::fromStdString(finding.tensor);
    case Text: return QString::fromStdString(finding.text);
    case SchemeName: return QString::fromStdString(finding.scheme);
    case Severity: return shown ? QVariant(severityText(finding.severity)) : QVariant(finding.severity);
    default: return {};
    }
}

QVariant FindingsModel::headerData(int section, Qt::Orientation orientation, int role) const
{
    if (orientation != Qt::Horizontal)
        return QAbstractTableModel::headerData(section, orientation, role);
    if (role == Qt::TextAlignmentRole)
        return QVariant(Qt::Alignment(Qt::AlignVCenter | (section == Severity ? Qt::AlignRight : Qt::AlignLeft)));
    if (role == Qt::ToolTipRole && section == Severity)
        return tr("Decibels of error at stake; broken values come before all else.");
    if (role != Qt::DisplayRole)
        return {};
    switch (section) {
    case Tensor: return tr("Layer");
    case Text: return tr("Finding");
    case SchemeName: return tr("Scheme");
    case Severity: return tr("At stake (dB)");
    default: return {};
    }
}
