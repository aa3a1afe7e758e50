// SPDX-License-Identifier: GPL-3.0-or-later
// A main window off screen with a data folder of its own, and the means to drive it.
#pragma once

#include "tests/support/tiny_model.h"
#include "widgets/docks/model_dock.h"
#include "widgets/models/tensor_filter_proxy.h"
#include "widgets/models/tensor_tree_model.h"
#include "widgets/window/main_window.h"
#include "widgets/window/message_bar.h"
#include "widgets/workbench/workbench.h"

#include <QAction>
#include <QApplication>
#include <QSignalSpy>
#include <QTemporaryDir>
#include <QTest>
#include <QTreeView>

#include <memory>

namespace quantloupe::tests {

constexpr int patience = 60'000;  // milliseconds; the machine may be busy

class WindowFixture
{
public:
    /// A fresh data folder with a short sweep, and a window.
    bool start(bool freshData = true)
    {
        if (freshData) {
            m_data = std::make_unique<QTemporaryDir>();
            qputenv("QUANTLOUPE_DATA", m_data->path().toUtf8());
            AppSettings().setSweep({*Scheme::parse("int8"), *Scheme::parse("int4:g32"), *Scheme::parse("int3:g64")});
        }
        window.reset();
        window = std::make_unique<MainWindow>();
        window->resize(1280, 800);
        window->show();
        return QTest::qWaitForWindowExposed(window.get());
    }

    QString file(const QString& name) const { return m_data->filePath(name); }
    QString tinyModel(unsigned blocks = 2, unsigned hidden = 32) const
    {
        const auto path = file(QStringLiteral("tiny-%1.safetensors").arg(blocks));
        writeTinyModel(path.toStdString(), blocks, hidden);
        return path;
    }

    /// Opens and waits until all is measured and every page has had its say.
    bool open(const QString& path)
    {
        QSignalSpy changed(window->workbench(), &Workbench::modelChanged);
        window->open(path);
        return (changed.size() > 0 || changed.wait(patience)) && rest();
    }
    bool rest() const
    {
        const auto* workbench = window->workbench();
        int quiet = 0;
        return QTest::qWaitFor(
            [&] {
                const auto busy = workbench->isOpening() || workbench->isAnalyzing() || workbench->jobs()->isBusy();
                quiet = busy ? 0 : quiet + 1;
                return quiet > 40;  // qWaitFor looks every 10 ms; debounced work begins 300 ms late
            },
            patience);
    }

    QTreeView* tree() const { return window->modelDock()->view(); }
    QModelIndex row(const QString& tensor) const
    {
        const auto* dock = window->modelDock();
        return dock->proxy()->mapFromSource(dock->model()->indexOf(tensor));
    }
    /// Clicks the middle of a cell as a user would.
    void click(const QModelIndex& index, Qt::KeyboardModifiers modifiers = Qt::NoModifier) const
    {
        tree()->expand(index.parent());
        tree()->scrollTo(index);
        QTest::mouseClick(tree()->viewport(), Qt::LeftButton, modifiers, tree()->visualRect(index).center());
    }
    /// The action whose text, without mnemonics, begins so.
    QAction* action(const QString& text) const
    {
        const auto actions = window->findChildren<QAction*>();
        for (auto* each : actions)
            if (each->text().remove(u'&').startsWith(text))
                return each;
        return nullptr;
    }

    std::unique_ptr<MainWindow> window;

private:
    std::unique_ptr<QTemporaryDir> m_data;
};

}  // namespace quantloupe::tests
