// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/models/cures_model.h"

#include "widgets/support/format_text.h"

#include <utility>

using quantloupe::Cure;
using quantloupe::CureKind;

namespace {

QString kindText(const Cure& cure)
{
    const auto kept = cure.kept.size();
    switch (cure.kind) {
    case CureKind::SmallerGroup: return CuresModel::tr("Smaller group");
    case CureKind::OtherRange: return CuresModel::tr("Range by least squared error");
    case CureKind::OtherSymmetry: return CuresModel::tr("Other symmetry");
    case CureKind::MoreBits: return CuresModel::tr("More bits");
    case CureKind::OtherNumbers: return CuresModel::tr("Other numbers");
    case CureKind::Rotation: return CuresModel::tr("Hadamard rotation");
    case CureKind::Search: return CuresModel::tr("Grid search (HQQ)");
    case CureKind::ChannelCorrection: return CuresModel::tr("Bias correction");
    case CureKind::WiderRows: return CuresModel::tr("Worst output channels in int8 (%1)").arg(kept);
    case CureKind::WiderColumns: return CuresModel::tr("Largest input channels in fp16 (%1)").arg(kept);
    case CureKind::InputAware: return CuresModel::tr("By the layer's inputs");
    case CureKind::AnotherScheme: break;
    }
    return CuresModel::tr("Another scheme");
}

}  // namespace

void CuresModel::setCures(std::vector<Cure> cures)
{
    beginResetModel();
    m_cures = std::move(cures);
    endResetModel();
}

int CuresModel::rowCount(const QModelIndex& parent) const
{
    return parent.isValid() ? 0 : static_cast<int>(m_cures.size());
}

int CuresModel::columnCount(const QModelIndex& parent) const
{
    return parent.isValid() ? 0 : ColumnCount;
}

QVariant CuresModel::data(const QModelIndex& index, int role) const
{
    if (!checkIndex(index, CheckIndexOption::IndexIsValid))
        return {};
    const auto& cure = m_cures[static_cast<std::size_t>(index.row())];
    const auto change = static_cast<std::int64_t>(cure.bytesAfter) - static_cast<std::int64_t>(cure.bytesBefore);
    switch (role) {
    case SchemeRole: return cure.isMixture() ? QString() : QString::fromStdString(cure.scheme.toString());
    case Qt::ToolTipRole: return QString::fromStdString(cure.sentence());
    case Qt::TextAlignmentRole:
        return QVariant::fromValue(
            index.column() == What ? Qt::AlignLeft | Qt::AlignVCenter : Qt::AlignRight | Qt::AlignVCenter);
    case ValueRole:
        switch (index.column()) {
        case Gain: return cure.gain();
        case Size: return static_cast<qlonglong>(change);
        case GainPerBit: return cure.gainPerAddedBit();
        default: return kindText(cure);
        }
    case Qt::DisplayRole: break;
    default: return {};
    }
    switch (index.column()) {
    case What:
        return cure.isMixture() ? kindText(cure)
                                : tr("%1: %2").arg(kindText(cure), QString::fromStdString(cure.scheme.toString()));
    case Gain: return format::difference(cure.gain());
    case Size: return format::signedBytes(change);
    case GainPerBit: return change > 0 ? format::number(cure.gainPerAddedBit(), 3) : format::none();
    default: return {};
    }
}

QVariant CuresModel::headerData(int section, Qt::Orientation orientation, int role) const
{
    if (orientation != Qt::Horizontal)
        return {};
    if (role == Qt::TextAlignmentRole)
        return QVariant::fromValue(
            section == What ? Qt::AlignLeft | Qt::AlignVCenter : Qt::AlignRight | Qt::AlignVCenter);
    if (role == Qt::ToolTipRole && section == Gain)
        return tr("Decibels of SQNR more: of the layer's outputs where the study is calibrated, else of its weights. "
                  "Higher is better.");
    if (role == Qt::ToolTipRole && section == GainPerBit)
        return tr("Gain per added bit per weight, by which what costs something is ranked. A bit is worth 6 dB "
                  "everywhere.");
    if (role != Qt::DisplayRole)
        return {};
    switch (section) {
    case What: return tr("What helps");
    case Gain: return tr("Gain (dB)");
    case Size: return tr("Size");
    case GainPerBit: return tr("dB per bit");
    default: return {};
    }
}
