// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/models/audit_model.h"

#include "widgets/support/format_text.h"

#include <QLocale>

#include <cmath>
#include <limits>

using quantloupe::AuditedTensor;
using quantloupe::AuditVerdict;

namespace {

constexpr double notKnown = std::numeric_limits<double>::quiet_NaN();

QVariant figure(double value, bool shown)
{
    return shown ? QVariant(format::number(value)) : QVariant(value);
}

bool isFigure(int column)
{
    return column == AuditModel::Bits || column == AuditModel::Sqnr || column == AuditModel::RelativeError
        || column == AuditModel::Cosine || column == AuditModel::MaxError || column == AuditModel::Gain;
}

}  // namespace

QString AuditModel::verdictText(AuditVerdict verdict)
{
    switch (verdict) {
    case AuditVerdict::Quantized: return tr("quantized");
    case AuditVerdict::Kept: return tr("kept");
    case AuditVerdict::Different: return tr("different");
    case AuditVerdict::Unreadable: return tr("unreadable");
    }
    return {};
}

void AuditModel::setAudit(AuditPointer audit)
{
    beginResetModel();
    m_audit = std::move(audit);
    endResetModel();
}

int AuditModel::rowCount(const QModelIndex& parent) const
{
    if (parent.isValid() || !m_audit)
        return 0;
    return static_cast<int>(
        m_audit->tensors.size() + m_audit->mismatched.size() + m_audit->missing.size() + m_audit->extra.size());
}

int AuditModel::columnCount(const QModelIndex& parent) const
{
    return parent.isValid() ? 0 : ColumnCount;
}

QVariant AuditModel::tensorData(const AuditedTensor& tensor, int column, bool shown) const
{
    const bool readable = tensor.verdict != AuditVerdict::Unreadable;
    const auto& error = tensor.error;
    switch (column) {
    case StoredAs: return QString::fromStdString(tensor.storedAs);
    case Verdict: return verdictText(tensor.verdict);
    case Bits: return shown ? QVariant(QLocale().toString(tensor.bitsPerWeight, 'f', 3)) : tensor.bitsPerWeight;
    case Sqnr: {
        const double decibels = readable ? error.sqnrDb() : notKnown;
        return shown && std::isfinite(decibels) ? QVariant(QLocale().toString(decibels, 'f', 2))
                                                : figure(decibels, shown);
    }
    case RelativeError: return figure(readable ? error.relativeError() : notKnown, shown);
    case Cosine:
        return shown && readable ? QVariant(format::number(error.cosine(), 7))
                                 : figure(readable ? error.cosine() : notKnown, shown);
    case MaxError: return figure(readable ? error.maxAbsError : notKnown, shown);
    case Best: return tensor.best ? QString::fromStdString(tensor.best->scheme.toString()) : QString();
    case Gain:
        if (!tensor.best)
            return shown ? QVariant(QString()) : QVariant(-std::numeric_limits<double>::infinity());
        return shown ? QVariant(format::difference(tensor.best->gain())) : QVariant(tensor.best->gain());
    case Note: return QString::fromStdString(tensor.note);
    default: return {};
    }
}

QString AuditModel::nameOf(std::size_t row) const
{
    const auto& audit = *m_audit;
    if (row < audit.tensors.size())
        return QString::fromStdString(audit.tensors[row].original);
    row -= audit.tensors.size();
    if (row < audit.mismatched.size())
        return QString::fromStdString(audit.mismatched[row].original);
    row -= audit.mismatched.size();
    return QString::fromStdString(
        row < audit.missing.size() ? audit.missing[row] : audit.extra[row - audit.missing.size()]);
}

QVariant AuditModel::loneData(std::size_t row, int column) const
{
    const auto& audit = *m_audit;
    row -= audit.tensors.size();
    if (row < audit.mismatched.size()) {
        const auto& pair = audit.mismatched[row];
        if (column == Verdict)
            return tr("other shape");
        if (column == Note)
            return tr("%1 in the original, %2 in the checkpoint")
                .arg(format::shape(pair.originalShape), format::shape(pair.quantizedShape));
        return isFigure(column) ? QVariant(QString()) : QVariant();
    }
    const bool missing = row - audit.mismatched.size() < audit.missing.size();
    if (column == Verdict)
        return missing ? tr("missing") : tr("extra");
    if (column == Note)
        return missing ? tr("not in the checkpoint") : tr("not in the original");
    return isFigure(column) ? QVariant(QString()) : QVariant();
}

QVariant AuditModel::data(const QModelIndex& index, int role) const
{
    if (!checkIndex(index, CheckIndexOption::IndexIsValid | CheckIndexOption::ParentIsInvalid))
        return {};
    const auto row = static_cast<std::size_t>(index.row());
    const auto& audit = *m_audit;
    const bool compared = row < audit.tensors.size();
    const bool ofOriginal = row < audit.tensors.size() + audit.mismatched.size() + audit.missing.size();
    switch (role) {
    case TensorRole: return ofOriginal ? nameOf(row) : QString();
    case Qt::TextAlignmentRole:
        return QVariant(Qt::Alignment(Qt::AlignVCenter | (isFigure(index.column()) ? Qt::AlignRight : Qt::AlignLeft)));
    case Qt::ToolTipRole: {
        QStringList lines {nameOf(row)};
        if (compared && audit.tensors[row].quantized != audit.tensors[row].original)
            lines << tr("There: %1").arg(QString::fromStdString(audit.tensors[row].quantized));
        if (const auto note = (compared ? tensorData(audit.tensors[row], Note, true) : loneData(row, Note)).toString();
            !note.isEmpty())
            lines << note;
        return lines.join(u'\n');
    }
    case Qt::DisplayRole:
    case ValueRole:
        if (index.column() == Tensor)
            return nameOf(row);
        if (compared)
            return tensorData(audit.tensors[row], index.column(), role == Qt::DisplayRole);
        // Sorted below every figure there is.
        if (role == ValueRole && isFigure(index.column()))
            return -std::numeric_limits<double>::infinity();
        return loneData(row, index.column());
    default: return {};
    }
}

QVariant AuditModel::headerData(int section, Qt::Orientation orientation, int role) const
{
    if (orientation != Qt::Horizontal)
        return QAbstractTableModel::headerData(section, orientation, role);
    if (role == Qt::TextAlignmentRole)
        return QVariant(Qt::Alignment(Qt::AlignVCenter | (isFigure(section) ? Qt::AlignRight : Qt::AlignLeft)));
    if (role == Qt::ToolTipRole) {
        switch (section) {
        case StoredAs: return tr("How the checkpoint stores the tensor.");
        case Verdict:
            return tr("Quantized: fewer than 16 bits and close to the original. Kept: as in the original, or in 16 "
                      "bits and more. "
                      "Different: further from the original than its storage explains.");
        case Bits: return tr("As stored there, scales, zero points and padding included.");
        case Best: return tr("The scheme that does best in no more bits, measured on the same rows.");
        case Gain:
            return tr("How much better that scheme would be. Negative: the checkpoint is better than any of ours "
                      "of its size, as methods that look at data can be.");
        default: return {};
        }
    }
    if (role != Qt::DisplayRole)
        return {};
    switch (section) {
    case Tensor: return tr("Layer");
    case StoredAs: return tr("Stored as");
    case Verdict: return tr("Verdict");
    case Bits: return tr("Bits per weight");
    case Sqnr: return tr("SQNR (dB)");
    case RelativeError: return tr("Relative error");
    case Cosine: return tr("Cosine");
    case MaxError: return tr("Largest error");
    case Best: return tr("Best scheme");
    case Gain: return tr("Gain (dB)");
    case Note: return tr("Note");
    default: return {};
    }
}
