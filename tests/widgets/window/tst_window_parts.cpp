// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/settings_dialog.h"
#include "widgets/dialogs/sweep_dialog.h"
#include "widgets/docks/scheme_editor.h"
#include "widgets/window/app_settings.h"
#include "widgets/window/command_palette.h"
#include "widgets/window/session_mark.h"
#include "widgets/window/start_page.h"

#include <QAction>
#include <QDir>
#include <QListWidget>
#include <QPushButton>
#include <QSignalSpy>
#include <QSpinBox>
#include <QTemporaryDir>
#include <QTest>

using quantloupe::Scheme;

namespace {
Scheme scheme(const char* text)
{
    return *Scheme::parse(text);
}
}  // namespace

class TestWindowParts : public QObject
{
    Q_OBJECT
    QTemporaryDir m_data;

private Q_SLOTS:
    void initTestCase()
    {
        QLocale::setDefault(QLocale::c());
        qputenv("QUANTLOUPE_DATA", m_data.path().toUtf8());
    }

    void settingsRoundTrip()
    {
        QCOMPARE(AppSettings().initialScheme(), scheme("int4"));
        QVERIFY(!AppSettings().sweep());
        {
            AppSettings settings;
            settings.setInitialScheme(scheme("int4:g32:asym:mse"));
            settings.setSweep({scheme("int8"), scheme("nf4")});
            settings.setTheme(ThemeMode::Light);
            settings.setThreads(3);
            settings.setAuthor(QStringLiteral("Ada"));
        }
        AppSettings settings;
        QCOMPARE(settings.initialScheme(), scheme("int4:g32:asym:mse"));
        QCOMPARE(settings.sweep()->size(), std::size_t {2});
        QCOMPARE(settings.theme(), ThemeMode::Light);
        QCOMPARE(settings.threads(), 3u);
        QCOMPARE(settings.author(), QStringLiteral("Ada"));
    }

    void recentFilesAreTenAtMostNewestFirst()
    {
        AppSettings settings;
        for (int i = 0; i < 12; ++i)
            settings.addRecentFile({QStringLiteral("/m/%1").arg(i), QStringLiteral("llama"), QStringLiteral("BF16"),
                8'030'000'000u, 16'060'000'000u, QDateTime({2026, 1, i + 1}, {12, 0})});
        settings.addRecentFile(settings.recentFiles().at(4));
        const auto files = settings.recentFiles();
        QCOMPARE(files.size(), 10);
        QCOMPARE(files[0].path, QStringLiteral("/m/7"));
        QCOMPARE(files[1].path, QStringLiteral("/m/11"));
        QVERIFY(describeRecentFile(files[0]).startsWith(
            QStringLiteral("llama · 8.03\u00a0B parameters · BF16 · 15\u00a0GiB")));
        settings.removeRecentFile(QStringLiteral("/m/7"));
        QCOMPARE(settings.recentFiles().first().path, QStringLiteral("/m/11"));
        settings.clearRecentFiles();
        QVERIFY(settings.recentFiles().isEmpty());
    }

    void startPageForgets()
    {
        StartPage page(true);
        page.setRecentFiles({{m_data.path(), {}, {}, 0, 0, {}}});
        auto* list = page.findChild<QListWidget*>();
        QCOMPARE(list->count(), 1);
        list->setCurrentRow(0);
        QSignalSpy forget(&page, &StartPage::forgetRequested);
        list->actions().first()->trigger();
        QCOMPARE(forget.first().first().toString(), m_data.path());
    }

    void sessionMarks()
    {
        QTemporaryDir folder;
        QVERIFY(SessionMark::takeCrashed(folder.path()).isEmpty());
        {
            SessionMark mark(folder.path());
            mark.setModel(QStringLiteral("/models/a.gguf"));
            QVERIFY(SessionMark::takeCrashed(folder.path()).isEmpty());  // its owner lives
        }
        QVERIFY(SessionMark::takeCrashed(folder.path()).isEmpty());  // closed in order
        QFile left(folder.filePath(QStringLiteral("session-left")));
        QVERIFY(left.open(QIODevice::WriteOnly));
        left.write("/models/b.gguf");
        left.close();
        QCOMPARE(SessionMark::takeCrashed(folder.path()), QStringLiteral("/models/b.gguf"));
        QVERIFY(SessionMark::takeCrashed(folder.path()).isEmpty());  // once
    }

    void paletteMatches_data()
    {
        QTest::addColumn<QString>("text");
        QTest::addColumn<QList<int>>("found");
        QTest::addRow("nothing typed: all in order") << QString() << QList<int> {0, 1, 2, 3};
        QTest::addRow("any order of words") << "open file" << QList<int> {0};
        QTest::addRow("beginnings of parts first") << "re" << QList<int> {1, 0, 2};
        QTest::addRow("case does not matter") << "Q_PROJ" << QList<int> {3};
        QTest::addRow("none") << "zebra" << QList<int> {};
    }
    void paletteMatches()
    {
        QFETCH(const QString, text);
        QFETCH(const QList<int>, found);
        const QList<CommandPalette::Entry> entries {{QStringLiteral("File › Open (are)"), {}, true, {}},
            {QStringLiteral("Tools › Report"), {}, true, {}}, {QStringLiteral("View › Core"), {}, true, {}},
            {QStringLiteral("layers.3.q_proj"), {}, true, {}}};
        QCOMPARE(CommandPalette::matches(entries, text, 10), found);
    }

    void settingsDialogGivesBackWhatItWasGiven()
    {
        SettingsDialog dialog({ThemeMode::Dark, 1, scheme("int5:g64")});
        QCOMPARE(dialog.choice().theme, ThemeMode::Dark);
        QCOMPARE(dialog.choice().threads, 1u);
        QCOMPARE(dialog.choice().initialScheme, scheme("int5:g64"));
        dialog.findChild<QSpinBox*>()->setValue(0);
        QCOMPARE(dialog.choice().threads, 0u);
    }

    void sweepDialogListsEachOnce()
    {
        SweepDialog dialog({scheme("int8"), scheme("int4")});
        const auto buttons = dialog.findChildren<QPushButton*>();
        const auto press = [&](const QString& text) {
            for (auto* button : buttons)
                if (button->text().remove(u'&') == text)
                    button->click();
        };
        dialog.findChild<SchemeEditor*>()->setScheme(scheme("nf4"));
        press(QStringLiteral("Add"));
        press(QStringLiteral("Add"));
        QCOMPARE(dialog.schemes(), (std::vector {scheme("int8"), scheme("int4"), scheme("nf4")}));
        auto* list = dialog.findChild<QListWidget*>();
        list->setCurrentRow(1);
        press(QStringLiteral("Remove"));
        QCOMPARE(dialog.schemes(), (std::vector {scheme("int8"), scheme("nf4")}));
        // A whole kind at once, none of it twice.
        for (auto* action : dialog.findChildren<QAction*>())
            if (action->text() == QStringLiteral("Code book"))
                action->trigger();
        QCOMPARE(dialog.schemes(), (std::vector {scheme("int8"), scheme("nf4"), scheme("fp4_bnb")}));
    }
};

QTEST_MAIN(TestWindowParts)
#include "tst_window_parts.moc"
