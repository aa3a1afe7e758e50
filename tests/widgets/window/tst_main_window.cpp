// SPDX-License-Identifier: GPL-3.0-or-later
// The window driven by mouse and keyboard: selecting, editing, filtering, the budget, long models.
#include "tests/widgets/window/window_fixture.h"
#include "widgets/docks/recipe_dock.h"
#include "widgets/docks/scheme_editor.h"
#include "widgets/models/recipe_rules_model.h"
#include "widgets/window/budget_slider.h"
#include "widgets/window/command_palette.h"

#include <QToolBar>
#include <QAbstractButton>
#include <QComboBox>
#include <QLabel>
#include <QLineEdit>
#include <QListWidget>
#include <QMenuBar>
#include <QSlider>
#include <QTabWidget>
#include <QTableView>

using quantloupe::tests::patience;
using quantloupe::tests::WindowFixture;

namespace {

const QString down = QStringLiteral("model.layers.0.mlp.down_proj.weight");
const QString query = QStringLiteral("model.layers.0.self_attn.q_proj.weight");
const QString key = QStringLiteral("model.layers.0.self_attn.k_proj.weight");

std::string schemeOf(const WindowFixture& fixture, const QString& tensor)
{
    const auto scheme = fixture.window->workbench()->schemeOf(tensor);
    return scheme ? scheme->toString() : "keep";
}

/// Types a scheme into the editor that is open in the tree.
void typeScheme(const WindowFixture& fixture, const QString& scheme)
{
    auto* editor = fixture.tree()->findChild<QComboBox*>();
    QVERIFY2(editor, "no editor opened");
    editor->lineEdit()->selectAll();
    QTest::keyClicks(editor->lineEdit(), scheme);
    QTest::keyClick(editor->lineEdit(), Qt::Key_Return);
}

/// Opens the editor of a tensor's scheme with the mouse.
void doubleClickScheme(const WindowFixture& fixture, const QString& tensor)
{
    const auto cell = fixture.row(tensor).siblingAtColumn(TensorTreeModel::Scheme);
    fixture.tree()->scrollTo(cell);
    const auto place = fixture.tree()->visualRect(cell).center();
    QTest::mouseClick(fixture.tree()->viewport(), Qt::LeftButton, {}, place);
    QTest::mouseDClick(fixture.tree()->viewport(), Qt::LeftButton, {}, place);
}

}  // namespace

class TestMainWindow : public QObject
{
    Q_OBJECT
    WindowFixture m_fixture;

private Q_SLOTS:
    void init() { QVERIFY(m_fixture.start()); }
    void cleanup() { m_fixture.window.reset(); }

    void everyActionCanBeReached()
    {
        int count = 0;
        const auto menus = m_fixture.window->menuBar()->actions();
        QCOMPARE(menus.size(), 7);
        for (const auto* menu : menus) {
            QVERIFY(menu->text().contains(u'&'));
            for (const auto* action : menu->menu()->actions()) {
                if (action->isSeparator())
                    continue;
                QVERIFY2(action->text().contains(u'&'), qPrintable(action->text()));
                ++count;
            }
        }
        QVERIFY(count > 25);
        // No shortcut twice, or neither works.
        QHash<QKeySequence, QString> shortcuts;
        const auto actions = m_fixture.window->findChildren<QAction*>();
        for (const auto* action : actions)
            for (const auto& shortcut : action->shortcuts()) {
                QVERIFY2(!shortcuts.contains(shortcut), qPrintable(action->text() + shortcuts.value(shortcut)));
                shortcuts.insert(shortcut, action->text());
            }
    }

    void selectsByClick()
    {
        QVERIFY(m_fixture.open(m_fixture.tinyModel()));
        auto* workbench = m_fixture.window->workbench();
        m_fixture.click(m_fixture.row(down));
        QCOMPARE(workbench->selection(), QStringList {down});
        m_fixture.click(m_fixture.row(query), Qt::ControlModifier);
        QCOMPARE(workbench->currentTensor(), query);
        QCOMPARE(workbench->selection().size(), 2);
        // And the other way: the tree follows the window's selection.
        workbench->select({key});
        QCOMPARE(m_fixture.tree()->selectionModel()->selectedRows(), QModelIndexList {m_fixture.row(key)});
        // A block stands for its tensors.
        m_fixture.click(m_fixture.row(key).parent());
        QCOMPARE(workbench->selection().size(), 8);
    }

    void editsSchemesInTheTree()
    {
        QVERIFY(m_fixture.open(m_fixture.tinyModel()));
        m_fixture.click(m_fixture.row(down));
        QCOMPARE(schemeOf(m_fixture, down), std::string("int4"));
        doubleClickScheme(m_fixture, down);
        typeScheme(m_fixture, QStringLiteral("int8:tensor"));
        // The delegate commits when the key has been dealt with.
        QTRY_COMPARE(schemeOf(m_fixture, down), std::string("int8:tensor"));
        QCOMPARE(m_fixture.row(down).siblingAtColumn(TensorTreeModel::Scheme).data().toString(),
            QStringLiteral("int8:tensor"));
        // What the recipe newly uses is measured without being asked.
        QTRY_VERIFY_WITH_TIMEOUT(m_fixture.window->workbench()->measurementOf(down), patience);
        doubleClickScheme(m_fixture, down);
        typeScheme(m_fixture, QStringLiteral("no scheme"));
        QTRY_VERIFY(!m_fixture.tree()->findChild<QComboBox*>());
        QCOMPARE(schemeOf(m_fixture, down), std::string("int8:tensor"));
        QTest::keyClick(m_fixture.tree(), Qt::Key_Escape);

        QTest::keySequence(m_fixture.window.get(), QKeySequence::Undo);
        QCOMPARE(schemeOf(m_fixture, down), std::string("int4"));
        QTest::keySequence(m_fixture.window.get(), QKeySequence(QStringLiteral("Ctrl+Shift+Z")));
        QCOMPARE(schemeOf(m_fixture, down), std::string("int8:tensor"));
    }

    void editsManyAtOnce()
    {
        QVERIFY(m_fixture.open(m_fixture.tinyModel()));
        m_fixture.click(m_fixture.row(query));
        m_fixture.window->workbench()->select({query, down, key});
        QTest::keyClick(m_fixture.tree(), Qt::Key_F2);
        typeScheme(m_fixture, QStringLiteral("int8"));
        for (const auto& each : {query, down, key})
            QTRY_COMPARE(schemeOf(m_fixture, each), std::string("int8"));
        QCOMPARE(m_fixture.window->workbench()->undoStack()->count(), 1);
    }

    void filters()
    {
        QVERIFY(m_fixture.open(m_fixture.tinyModel()));
        QTest::keySequence(m_fixture.window.get(), QKeySequence::Find);
        QTest::keyClicks(m_fixture.window->modelDock()->filter(), QStringLiteral("attn q"));
        QTRY_VERIFY(!m_fixture.row(down).isValid());
        QVERIFY(m_fixture.row(query).isValid());
        m_fixture.window->modelDock()->filter()->clear();
        QTRY_VERIFY(m_fixture.row(down).isValid());
    }

    void toolBarEditsDefaultOrSelection()
    {
        QVERIFY(m_fixture.open(m_fixture.tinyModel()));
        auto* editor = m_fixture.window->findChild<QToolBar*>()->findChild<SchemeEditor*>();
        auto* format = editor->findChild<QComboBox*>(QStringLiteral("format"));
        const auto choose = [&](const QString& text) {
            format->setFocus();
            format->setCurrentText(text);
            Q_EMIT format->activated(format->currentIndex());
        };
        choose(QStringLiteral("int3"));
        QCOMPARE(schemeOf(m_fixture, down), std::string("int3"));
        m_fixture.click(m_fixture.row(query));
        choose(QStringLiteral("int8"));
        QCOMPARE(schemeOf(m_fixture, query), std::string("int8:g128"));
        QCOMPARE(schemeOf(m_fixture, down), std::string("int3"));
        QVERIFY(!editor->findChild<QComboBox*>(QStringLiteral("symmetry"))->itemText(0).isEmpty());
        choose(QStringLiteral("fp16"));
        QVERIFY(!editor->findChild<QComboBox*>(QStringLiteral("granularity"))->isEnabled());
    }

    void budgetRewritesTheRecipeInOneStep()
    {
        QVERIFY(m_fixture.open(m_fixture.tinyModel()));
        auto* workbench = m_fixture.window->workbench();
        auto* budget = m_fixture.window->budget();
        QTRY_VERIFY_WITH_TIMEOUT(budget->isReady(), patience);
        auto* slider = budget->slider();
        const auto before = workbench->recipe();
        QList<double> sizes;
        // A hand on the slider: down, along, up.
        slider->setSliderDown(true);
        for (const int position : {900, 600, 300, 0}) {
            slider->setValue(position);
            QVERIFY(m_fixture.rest());
            sizes << workbench->plan().bitsPerWeight;
        }
        slider->setSliderDown(false);
        for (int i = 1; i < sizes.size(); ++i)
            QVERIFY2(sizes[i] < sizes[i - 1], qPrintable(QStringLiteral("%1 then %2").arg(sizes[i - 1]).arg(sizes[i])));
        // The smallest: int3:g64 everywhere that is not kept.
        QCOMPARE(schemeOf(m_fixture, down), std::string("int3:g64"));
        QCOMPARE(
            budget->findChild<QLabel*>(QStringLiteral("budgetText"))->text().contains(QStringLiteral("bpw")), true);
        QCOMPARE(workbench->undoStack()->count(), 1);
        QTest::keySequence(m_fixture.window.get(), QKeySequence::Undo);
        QVERIFY(workbench->recipe() == before);
        // Small is not for ever: after an excursion to the top, what the budget kept is free again.
        slider->setValue(slider->maximum());
        QVERIFY(m_fixture.rest());
        slider->setValue(0);
        QVERIFY(m_fixture.rest());
        QCOMPARE(schemeOf(m_fixture, down), std::string("int3:g64"));
    }

    void rulesAreEditedInTheRecipeDock()
    {
        QVERIFY(m_fixture.open(m_fixture.tinyModel()));
        m_fixture.click(m_fixture.row(down));
        auto* dock = m_fixture.window->recipeDock();
        const auto rows = dock->model()->rowCount();
        const auto buttons = dock->findChildren<QAbstractButton*>();
        const auto add = std::find_if(buttons.begin(), buttons.end(),
            [](auto* button) { return button->accessibleName() == QLatin1String("Add a rule"); });
        QVERIFY(add != buttons.end());
        QTest::mouseClick(*add, Qt::LeftButton);
        QCOMPARE(dock->model()->rowCount(), rows + 1);
        QCOMPARE(dock->model()->index(rows, RecipeRulesModel::Match).data().toString(),
            QStringLiteral("model.layers.*.mlp.down_proj.weight"));
        dock->model()->setData(dock->model()->index(rows, RecipeRulesModel::Scheme), QStringLiteral("nf4:g32"));
        QCOMPARE(schemeOf(m_fixture, down), std::string("nf4:g32"));
        QVERIFY(dock->findChild<QLabel*>(QStringLiteral("recipeTotals"))->text().contains(QStringLiteral("bpw")));
        m_fixture.window->workbench()->undoStack()->undo();
        m_fixture.window->workbench()->undoStack()->undo();
        QCOMPARE(dock->model()->rowCount(), rows);
    }

    void doubleClickOpensTheLayer()
    {
        QVERIFY(m_fixture.open(m_fixture.tinyModel()));
        QSignalSpy layer(m_fixture.window->workbench(), &Workbench::layerRequested);
        m_fixture.click(m_fixture.row(query));
        QTest::mouseDClick(m_fixture.tree()->viewport(), Qt::LeftButton, {},
            m_fixture.tree()->visualRect(m_fixture.row(query)).center());
        QCOMPARE(layer.size(), 1);
        QCOMPARE(m_fixture.window->workbench()->currentTensor(), query);
    }

    void paletteFindsActionsAndLayers()
    {
        QVERIFY(m_fixture.open(m_fixture.tinyModel()));
        QTest::keySequence(m_fixture.window.get(), QKeySequence(QStringLiteral("Ctrl+K")));
        auto* palette = m_fixture.window->findChild<CommandPalette*>();
        QVERIFY(palette);
        auto* input = palette->findChild<QLineEdit*>();
        auto* list = palette->findChild<QListWidget*>();
        QTest::keyClicks(input, QStringLiteral("1 q_proj"));
        QCOMPARE(list->count(), 1);
        QTest::keyClick(input, Qt::Key_Return);
        QTRY_COMPARE(
            m_fixture.window->workbench()->currentTensor(), QStringLiteral("model.layers.1.self_attn.q_proj.weight"));
        QTRY_VERIFY(!m_fixture.window->findChild<CommandPalette*>());
        m_fixture.action(QStringLiteral("Find an action"))->trigger();
        palette = m_fixture.window->findChild<CommandPalette*>();
        QVERIFY(palette);
        QTest::keyClicks(palette->findChild<QLineEdit*>(), QStringLiteral("begin anew"));
        QCOMPARE(palette->findChild<QListWidget*>()->count(), 1);
        QTest::keyClick(palette->findChild<QLineEdit*>(), Qt::Key_Escape);
    }

    void worksOnAThousandTensors()
    {
        // 130 blocks of 8 tensors. That nothing is slow is for a benchmark to say; here, that everything still works.
        QVERIFY(m_fixture.open(m_fixture.tinyModel(130, 16)));
        QCOMPARE(m_fixture.window->workbench()->catalog().tensors.size(), std::size_t {1042});
        auto* workbench = m_fixture.window->workbench();
        const auto last = QStringLiteral("model.layers.129.mlp.down_proj.weight");
        workbench->select({last});
        workbench->setScheme({last}, quantloupe::Scheme::parse("int8").value());
        m_fixture.window->modelDock()->filter()->setText(QStringLiteral("down"));
        QVERIFY(m_fixture.rest());
        QVERIFY(m_fixture.row(last).isValid());
        QCOMPARE(schemeOf(m_fixture, last), std::string("int8"));
    }
};

QTEST_MAIN(TestMainWindow)
#include "tst_main_window.moc"
