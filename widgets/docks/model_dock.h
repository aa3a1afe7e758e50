// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QDockWidget>

class QLineEdit;
class QMenu;
class QTreeView;
class TensorFilterProxy;
class TensorTreeModel;
class Workbench;

/// The model as a tree of blocks and tensors: find, select, and edit schemes where they are shown.
class ModelDock final : public QDockWidget
{
    Q_OBJECT
public:
    explicit ModelDock(Workbench* workbench, QWidget* parent = nullptr);

    QTreeView* view() const { return m_view; }
    TensorTreeModel* model() const { return m_model; }
    TensorFilterProxy* proxy() const { return m_proxy; }
    QLineEdit* filter() const { return m_filter; }
    /// What the context menu offers for the selection.
    void fillMenu(QMenu* menu);
    void focusFilter();

private:
    void onModelChanged();
    void onSelectionChanged();
    void takeSelection();
    void applyScheme(QStringList tensors, const QString& text);

    Workbench* m_workbench;
    TensorTreeModel* m_model;
    TensorFilterProxy* m_proxy;
    QLineEdit* m_filter;
    QTreeView* m_view;
    bool m_following = false;  // the tree is taking over the window's selection, not making one
};
