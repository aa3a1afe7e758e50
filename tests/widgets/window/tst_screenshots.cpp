// SPDX-License-Identifier: GPL-3.0-or-later
// Pictures of every page with the sample, light and dark, for people to look at; and that none of them is blank.
#include "tests/support/screenshots.h"
#include "tests/widgets/window/window_fixture.h"
#include "widgets/dialogs/export_dialog.h"
#include "widgets/dialogs/report_dialog.h"
#include "widgets/theme/theme.h"

#include <QImage>
#include <QSet>

using quantloupe::tests::saveScreenshot;
using quantloupe::tests::WindowFixture;

namespace {

/// How many colours a picture has, up to a hundred.
qsizetype colours(const QImage& image)
{
    QSet<QRgb> seen;
    for (int y = 0; y < image.height() && seen.size() < 100; y += 2)
        for (int x = 0; x < image.width() && seen.size() < 100; x += 2)
            seen.insert(image.pixel(x, y));
    return seen.size();
}

}  // namespace

class TestScreenshots : public QObject
{
    Q_OBJECT
    WindowFixture m_fixture;

    void take(QWidget* widget, const QString& name)
    {
        const auto picture = widget->grab();
        QCOMPARE(picture.size(), widget->size() * widget->devicePixelRatioF());
        QVERIFY2(colours(picture.toImage()) >= 20, qPrintable(name + QStringLiteral(" is nearly blank")));
        const auto scale = QStringLiteral("-%1x").arg(widget->devicePixelRatioF());
        saveScreenshot(picture, name + scale);
    }

private Q_SLOTS:
    void initTestCase()
    {
        QVERIFY(m_fixture.start());
        take(m_fixture.window.get(), QStringLiteral("window-start"));
        QVERIFY(m_fixture.open(QStringLiteral("sample")));
        m_fixture.window->workbench()->select({QStringLiteral("model.layers.2.mlp.down_proj.weight")});
    }
    void cleanupTestCase() { m_fixture.window.reset(); }

    void pages_data()
    {
        QTest::addColumn<QString>("page");
        QTest::addColumn<bool>("dark");
        for (const auto& page : m_fixture.window->pageNames())
            for (const bool dark : {false, true})
                QTest::addRow("%s %s", qPrintable(page), dark ? "dark" : "light") << page << dark;
    }
    void pages()
    {
        QFETCH(const QString, page);
        QFETCH(const bool, dark);
        Theme::instance().setMode(dark ? ThemeMode::Dark : ThemeMode::Light);
        QVERIFY(m_fixture.window->showPage(page));
        QVERIFY(m_fixture.rest());
        take(m_fixture.window.get(),
            QStringLiteral("window-%1-%2").arg(page, dark ? QStringLiteral("dark") : QStringLiteral("light")));
    }

    void dialogs_data()
    {
        QTest::addColumn<QString>("action");
        QTest::addColumn<QString>("name");
        QTest::addRow("export") << QStringLiteral("Export…") << QStringLiteral("dialog-export");
        QTest::addRow("report") << QStringLiteral("Report…") << QStringLiteral("dialog-report");
        QTest::addRow("settings") << QStringLiteral("Settings…") << QStringLiteral("dialog-settings");
        QTest::addRow("sweep") << QStringLiteral("Schemes of the sweep") << QStringLiteral("dialog-sweep");
        QTest::addRow("palette") << QStringLiteral("Find an action") << QStringLiteral("dialog-palette");
        QTest::addRow("notation") << QStringLiteral("Scheme notation") << QStringLiteral("dialog-notation");
        QTest::addRow("about") << QStringLiteral("About Quantloupe") << QStringLiteral("dialog-about");
    }
    void dialogs()
    {
        QFETCH(const QString, action);
        QFETCH(const QString, name);
        for (const bool dark : {false, true}) {
            Theme::instance().setMode(dark ? ThemeMode::Dark : ThemeMode::Light);
            m_fixture.action(action)->trigger();
            QVERIFY(m_fixture.rest());
            auto* dialog = m_fixture.window->findChild<QDialog*>();
            QVERIFY(dialog);
            take(dialog, name + (dark ? QStringLiteral("-dark") : QStringLiteral("-light")));
            delete dialog;
        }
    }
};

QTEST_MAIN(TestScreenshots)
#include "tst_screenshots.moc"
