// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/recipes/plan.h"
#include "core/study/study.h"

#include <QAbstractItemModel>
#include <QStringList>

#include <vector>

/// The tensors of a model under its blocks, with what the recipe and the study say about each. Reads snapshots; never
/// computes beyond adding up the tensors of a block, never locks.
///
/// Tensors outside any block are top-level rows: embeddings before the blocks, the rest behind. The Scheme column can
/// be edited where a tensor can be quantized; the edit leaves as a signal and comes back with the next plan.
class TensorTreeModel final : public QAbstractItemModel
{
    Q_OBJECT
public:
    enum Column { Name, Shape, Role, Scheme, Size, Sqnr, ColumnCount };
    /// The unformatted number, for sorting: elements, bytes, decibels; text columns give their text.
    static constexpr int ValueRole = Qt::UserRole;
    /// Full names of the tensors a row stands for: one, or all of a block.
    static constexpr int TensorsRole = Qt::UserRole + 1;
    /// What the filter looks through: full name, role and scheme.
    static constexpr int SearchRole = Qt::UserRole + 2;

    using QAbstractItemModel::QAbstractItemModel;

    /// Everything is new.
    void setContents(const quantloupe::ModelCatalog& catalog, quantloupe::Plan plan, quantloupe::StudyPointer study);
    void setPlan(quantloupe::Plan plan);
    void setStudy(quantloupe::StudyPointer study);

    /// The row of a tensor; invalid when there is none of that name.
    QModelIndex indexOf(const QString& tensor) const;
    /// Full name; empty for a block.
    QString tensorAt(const QModelIndex& index) const;

    QModelIndex index(int row, int column, const QModelIndex& parent = {}) const override;
    QModelIndex parent(const QModelIndex& index) const override;
    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
    bool setData(const QModelIndex& index, const QVariant& value, int role = Qt::EditRole) override;
    Qt::ItemFlags flags(const QModelIndex& index) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

Q_SIGNALS:
    /// The user wrote a scheme into a cell; empty text: keep as stored.
    void schemeEdited(const QStringList& tensors, const QString& scheme);

private:
    struct Tensor {
        QString name;       // full
        QString shortName;  // without block prefix and ".weight"
        QString shape;
        QString role;
        quint64 elements = 0;
        int node = 0;  // top-level row
        int row = 0;   // inside its block; 0 for top-level tensors
        bool quantizable = false;
        QString scheme;  // canonical; empty: kept
        quint64 bytes = 0;
        double sqnr = 0.0;                 // NaN: not measured
        double signal = 0.0, error = 0.0;  // energies behind sqnr
    };
    struct Node {
        int block = -1;            // −1: a single tensor
        std::vector<int> tensors;  // indices into m_tensors
        QString scheme;            // common to all quantizable ones, else empty
        bool mixed = false;
        quint64 bytes = 0;
        quint64 elements = 0;
        double sqnr = 0.0;
    };
    const Tensor* tensorOf(const QModelIndex& index) const;
    const Node& nodeOf(const QModelIndex& index) const;
    void readPlan();
    void readStudy();
    void sumUp();
    void announce(Column first, Column last);
    QVariant valueOf(const Tensor& tensor, int column) const;
    QVariant valueOf(const Node& node, int column) const;

    std::vector<Tensor> m_tensors;  // in file order
    std::vector<Node> m_nodes;      // top-level rows
    QHash<QString, int> m_byName;
    quantloupe::Plan m_plan;
    quantloupe::StudyPointer m_study;
};
