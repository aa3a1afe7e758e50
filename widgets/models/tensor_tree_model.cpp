// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/models/tensor_tree_model.h"

#include "widgets/support/format_text.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
// internalId of a top-level row; rows inside a block carry their node's row.
constexpr quintptr topLevel = std::numeric_limits<quintptr>::max();

/// "model.layers.3.mlp.down_proj.weight" → "mlp.down_proj".
QString shortened(const QString& name, bool inBlock)
{
    auto parts = name.split(u'.');
    if (parts.size() > 1 && parts.last() == QLatin1String("weight"))
        parts.removeLast();
    if (inBlock) {
        const auto number = std::find_if(parts.cbegin(), parts.cend(), [](const QString& part) {
            bool ok = false;
            part.toUInt(&ok);
            return ok;
        });
        if (number != parts.cend() && number + 1 != parts.cend())
            parts = parts.mid(number - parts.cbegin() + 1);
    }
    return parts.join(u'.');
}

double decibels(double signal, double error)
{
    if (!(signal > 0.0))
        return unknown;
    return error > 0.0 ? 10.0 * std::log10(signal / error) : std::numeric_limits<double>::infinity();
}

}  // namespace

void TensorTreeModel::setContents(
    const quantloupe::ModelCatalog& catalog, quantloupe::Plan plan, quantloupe::StudyPointer study)
{
    beginResetModel();
    m_plan = std::move(plan);
    m_study = std::move(study);
    m_tensors.clear();
    m_nodes.clear();
    m_byName.clear();
    m_tensors.reserve(catalog.tensors.size());
    // Ordered by place (0 before the blocks, 1 blocks, 2 behind), then block, then file order.
    std::map<std::pair<int, std::size_t>, Node> nodes;
    for (std::size_t i = 0; i < catalog.tensors.size(); ++i) {
        const auto& source = catalog.tensors[i];
        const auto block = source.parts.block;
        Tensor tensor;
        tensor.name = QString::fromStdString(source.name);
        tensor.shortName = shortened(tensor.name, block.has_value());
        tensor.shape = format::shape(source.shape);
        tensor.role = QString::fromUtf8(
            nameOf(source.parts.role).data(), static_cast<qsizetype>(nameOf(source.parts.role).size()));
        tensor.elements = source.parameters();
        tensor.quantizable = source.quantizable;
        tensor.bytes = source.bytes;
        tensor.sqnr = unknown;
        m_byName.insert(tensor.name, static_cast<int>(i));
        m_tensors.push_back(std::move(tensor));
        const auto early = source.parts.role == quantloupe::TensorRole::Embedding
            || source.parts.role == quantloupe::TensorRole::Position;
        auto& node = nodes[block ? std::pair {1, std::size_t {*block}} : std::pair {early ? 0 : 2, i}];
        node.block = block ? static_cast<int>(*block) : -1;
        node.tensors.push_back(static_cast<int>(i));
    }
    for (auto& [place, node] : nodes) {
        for (std::size_t row = 0; row < node.tensors.size(); ++row) {
            auto& tensor = m_tensors[static_cast<std::size_t>(node.tensors[row])];
            tensor.node = static_cast<int>(m_nodes.size());
            tensor.row = static_cast<int>(row);
        }
        m_nodes.push_back(std::move(node));
    }
    readPlan();
    readStudy();
    endResetModel();
}

void TensorTreeModel::setPlan(quantloupe::Plan plan)
{
    if (plan == m_plan)
        return;
    m_plan = std::move(plan);
    readPlan();
    readStudy();
    announce(Scheme, Sqnr);
}

void TensorTreeModel::setStudy(quantloupe::StudyPointer study)
{
    m_study = std::move(study);
    readStudy();
    announce(Sqnr, Sqnr);
}

void TensorTreeModel::announce(Column first, Column last)
{
    if (m_nodes.empty())
        return;
    for (int row = 0; row < static_cast<int>(m_nodes.size()); ++row)
        if (const auto& node = m_nodes[static_cast<std::size_t>(row)]; node.block >= 0) {
            const auto parentIndex = index(row, 0);
            Q_EMIT dataChanged(
                index(0, first, parentIndex), index(static_cast<int>(node.tensors.size()) - 1, last, parentIndex));
        }
    Q_EMIT dataChanged(index(0, first), index(static_cast<int>(m_nodes.size()) - 1, last));
}

void TensorTreeModel::readPlan()
{
    for (const auto& planned : m_plan.tensors)
        if (planned.tensor < m_tensors.size()) {
            auto& tensor = m_tensors[planned.tensor];
            tensor.scheme = planned.scheme ? QString::fromStdString(planned.scheme->toString()) : QString();
            tensor.bytes = planned.bytes;
        }
}

void TensorTreeModel::readStudy()
{
    for (auto& tensor : m_tensors) {
        const auto* measured = m_study && !tensor.scheme.isEmpty()
            ? m_study->find(tensor.name.toStdString(), tensor.scheme.toStdString())
            : nullptr;
        tensor.sqnr = measured ? measured->error.sqnrDb() : unknown;
        tensor.signal = measured ? measured->error.signalEnergy : 0.0;
        tensor.error = measured ? measured->error.errorEnergy : 0.0;
    }
    sumUp();
}

void TensorTreeModel::sumUp()
{
    for (auto& node : m_nodes) {
        double signal = 0.0;
        double error = 0.0;
        bool complete = true;
        bool first = true;
        node.bytes = 0;
        node.elements = 0;
        node.mixed = false;
        node.scheme.clear();
        for (const int i : node.tensors) {
            const auto& tensor = m_tensors[static_cast<std::size_t>(i)];
            node.bytes += tensor.bytes;
            node.elements += tensor.elements;
            if (!tensor.quantizable)
                continue;
            if (std::exchange(first, false))
                node.scheme = tensor.scheme;
            node.mixed = node.mixed || tensor.scheme != node.scheme;
            signal += tensor.signal;
            error += tensor.error;
            complete = complete && (tensor.scheme.isEmpty() || !std::isnan(tensor.sqnr));
        }
        node.sqnr = complete ? decibels(signal, error) : unknown;
    }
}

QModelIndex TensorTreeModel::indexOf(const QString& name) const
{
    const auto found = m_byName.constFind(name);
    if (found == m_byName.constEnd())
        return {};
    const auto& tensor = m_tensors[static_cast<std::size_t>(*found)];
    if (m_nodes[static_cast<std::size_t>(tensor.node)].block < 0)
        return index(tensor.node, 0);
    return index(tensor.row, 0, index(tensor.node, 0));
}

const TensorTreeModel::Node& TensorTreeModel::nodeOf(const QModelIndex& index) const
{
    return m_nodes[index.internalId() == topLevel ? static_cast<std::size_t>(index.row()) : index.internalId()];
}

const TensorTreeModel::Tensor* TensorTreeModel::tensorOf(const QModelIndex& index) const
{
    const auto& node = nodeOf(index);
    if (index.internalId() == topLevel)
        return node.block < 0 ? &m_tensors[static_cast<std::size_t>(node.tensors.front())] : nullptr;
    return &m_tensors[static_cast<std::size_t>(node.tensors[static_cast<std::size_t>(index.row())])];
}

QString TensorTreeModel::tensorAt(const QModelIndex& index) const
{
    if (!checkIndex(index, CheckIndexOption::IndexIsValid))
        return {};
    const auto* tensor = tensorOf(index);
    return tensor ? tensor->name : QString();
}

QModelIndex TensorTreeModel::index(int row, int column, const QModelIndex& parent) const
{
    if (!hasIndex(row, column, parent))
        return {};
    return createIndex(row, column, parent.isValid() ? static_cast<quintptr>(parent.row()) : topLevel);
}

QModelIndex TensorTreeModel::parent(const QModelIndex& index) const
{
    if (!index.isValid() || index.internalId() == topLevel)
        return {};
    return createIndex(static_cast<int>(index.internalId()), 0, topLevel);
}

int TensorTreeModel::rowCount(const QModelIndex& parent) const
{
    if (!parent.isValid())
        return static_cast<int>(m_nodes.size());
    if (parent.column() != 0 || parent.internalId() != topLevel)
        return 0;
    const auto& node = m_nodes[static_cast<std::size_t>(parent.row())];
    return node.block < 0 ? 0 : static_cast<int>(node.tensors.size());
}

int TensorTreeModel::columnCount(const QModelIndex&) const
{
    return ColumnCount;
}

QVariant TensorTreeModel::valueOf(const Tensor& tensor, int column) const
{
    switch (column) {
    case Name: return tensor.shortName;
    case Shape: return tensor.elements;
    case Role: return tensor.role;
    case Scheme: return tensor.scheme;
    case Size: return tensor.bytes;
    case Sqnr: return tensor.sqnr;
    default: return {};
    }
}

QVariant TensorTreeModel::valueOf(const Node& node, int column) const
{
    switch (column) {
    case Name: return node.block;
    case Shape: return node.elements;
    case Scheme: return node.mixed ? tr("mixed") : node.scheme;
    case Size: return node.bytes;
    case Sqnr: return node.sqnr;
    default: return {};
    }
}

QVariant TensorTreeModel::data(const QModelIndex& index, int role) const
{
    if (!checkIndex(index, CheckIndexOption::IndexIsValid))
        return {};
    const auto& node = nodeOf(index);
    const auto* tensor = tensorOf(index);
    const auto column = index.column();
    auto value = tensor ? valueOf(*tensor, column) : valueOf(node, column);
    switch (role) {
    case ValueRole: return value;
    case Qt::TextAlignmentRole:
        return column == Size || column == Sqnr ? QVariant(Qt::AlignRight | Qt::AlignVCenter) : QVariant();
    case TensorsRole: {
        QStringList names;
        if (tensor)
            return QStringList {tensor->name};
        for (const int i : node.tensors)
            names << m_tensors[static_cast<std::size_t>(i)].name;
        return names;
    }
    case SearchRole: return tensor ? QVariant(QStringList {tensor->name, tensor->role, tensor->scheme}) : QVariant();
    case Qt::ToolTipRole:
        return tensor ? tr("%1\n%2 parameters").arg(tensor->name, format::integer(tensor->elements))
                      : tr("Block %1, %2 tensors").arg(node.block).arg(node.tensors.size());
    case Qt::EditRole:
        if (column == Scheme)
            return tensor ? tensor->scheme : node.scheme;
        [[fallthrough]];
    case Qt::DisplayRole: break;
    default: return {};
    }
    switch (column) {
    case Name: return tensor ? tensor->shortName : tr("block %1").arg(node.block);
    case Shape: return tensor ? tensor->shape : QString();
    case Scheme:
        if (tensor)
            return tensor->scheme.isEmpty() ? (tensor->quantizable ? tr("keep") : format::none()) : tensor->scheme;
        return node.mixed ? tr("mixed") : node.scheme;
    case Size: return format::bytes(value.toULongLong());
    case Sqnr: return std::isnan(value.toDouble()) ? QString() : format::decibels(value.toDouble());
    default: return value;
    }
}

bool TensorTreeModel::setData(const QModelIndex& index, const QVariant& value, int role)
{
    if (role != Qt::EditRole || !(flags(index) & Qt::ItemIsEditable))
        return false;
    const auto text = value.toString();
    if (text == data(index, Qt::EditRole).toString() && !(tensorOf(index) == nullptr && nodeOf(index).mixed))
        return true;
    Q_EMIT schemeEdited(data(index, TensorsRole).toStringList(), text);
    return true;
}

Qt::ItemFlags TensorTreeModel::flags(const QModelIndex& index) const
{
    auto flags = QAbstractItemModel::flags(index);
    if (!index.isValid())
        return flags;
    const auto* tensor = tensorOf(index);
    if (tensor)
        flags |= Qt::ItemNeverHasChildren;
    if (index.column() == Scheme && (!tensor || tensor->quantizable))
        flags |= Qt::ItemIsEditable;
    return flags;
}

QVariant TensorTreeModel::headerData(int section, Qt::Orientation orientation, int role) const
{
    if (orientation != Qt::Horizontal)
        return QAbstractItemModel::headerData(section, orientation, role);
    if (role == Qt::TextAlignmentRole)
        return section == Size || section == Sqnr ? QVariant(Qt::AlignRight | Qt::AlignVCenter)
                                                  : QVariant(Qt::AlignLeft | Qt::AlignVCenter);
    if (role == Qt::DisplayRole)
        switch (section) {
        case Name: return tr("Tensor");
        case Shape: return tr("Shape");
        case Role: return tr("Role");
        case Scheme: return tr("Scheme");
        case Size: return tr("Size");
        case Sqnr: return tr("SQNR");
        default: return {};
        }
    if (role == Qt::ToolTipRole || role == Qt::WhatsThisRole)
        switch (section) {
        case Shape: return tr("Extents as stored, output features first.");
        case Role: return tr("What the tensor does in its block, read from its name.");
        case Scheme: return tr("How the recipe quantizes the tensor. Double click to change it.");
        case Size: return tr("Bytes under the recipe: codes, scales, zero points and padding.");
        case Sqnr:
            return tr("Signal to quantization noise ratio of the weights, in decibels; higher is better, 6 dB are "
                      "one bit. It says nothing about how much the layer matters to the output.");
        default: return {};
        }
    return {};
}
