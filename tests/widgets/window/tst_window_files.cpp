// SPDX-License-Identifier: GPL-3.0-or-later
// The window and files: opening, failing, dropping, recent files, export, report, closing, crashes.
#include "tests/widgets/window/window_fixture.h"
#include "widgets/dialogs/export_dialog.h"
#include "widgets/dialogs/report_dialog.h"

#include <QDir>
#include <QDropEvent>
#include <QFile>
#include <QLabel>
#include <QLineEdit>
#include <QListWidget>
#include <QMessageBox>
#include <QMimeData>
#include <QPushButton>
#include <QTimer>

using quantloupe::tests::patience;
using quantloupe::tests::WindowFixture;

namespace {

QByteArray contentOf(const QString& path)
{
    QFile file(path);
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray();
}

/// Answers the next message box by the button whose text contains `text`.
void answerBox(const QString& text, bool& asked)
{
    QTimer::singleShot(0, qApp, [text, &asked] {
        auto* box = qobject_cast<QMessageBox*>(QApplication::activeModalWidget());
        if (!box)
            return;
        asked = true;
        const auto buttons = box->buttons();
        for (auto* button : buttons)
            if (button->text().remove(u'&').contains(text))
                button->click();
    });
}

}  // namespace

class TestWindowFiles : public QObject
{
    Q_OBJECT
    WindowFixture m_fixture;

private Q_SLOTS:
    void init() { QVERIFY(m_fixture.start()); }
    void cleanup() { m_fixture.window.reset(); }

    void failedOpenShowsFileAndReason()
    {
        const auto path = m_fixture.file(QStringLiteral("broken.gguf"));
        QFile file(path);
        QVERIFY(file.open(QIODevice::WriteOnly));
        file.write("GGUF\x03\0\0\0", 8);
        file.close();
        m_fixture.window->open(path);
        auto* bar = m_fixture.window->messageBar();
        QTRY_VERIFY_WITH_TIMEOUT(bar->isVisible(), patience);
        QVERIFY(bar->text().contains(QStringLiteral("Cannot open broken.gguf")));
        QVERIFY(bar->text().contains(path));
        QVERIFY(bar->text().contains(QStringLiteral("byte")));
        QVERIFY(!m_fixture.window->workbench()->hasModel());
        QTest::keyClick(bar, Qt::Key_Escape);
        QVERIFY(!bar->isVisible());
    }

    void dropOpens()
    {
        const auto path = m_fixture.tinyModel();
        QMimeData data;
        data.setUrls({QUrl::fromLocalFile(path)});
        QDragEnterEvent enter({10, 10}, Qt::CopyAction, &data, Qt::LeftButton, {});
        QApplication::sendEvent(m_fixture.window.get(), &enter);
        QVERIFY(enter.isAccepted());
        QSignalSpy changed(m_fixture.window->workbench(), &Workbench::modelChanged);
        QDropEvent drop({10, 10}, Qt::CopyAction, &data, Qt::LeftButton, {});
        QApplication::sendEvent(m_fixture.window.get(), &drop);
        QVERIFY(changed.wait(patience));
        QCOMPARE(m_fixture.window->workbench()->modelPath(), path);
        QMimeData web;
        web.setUrls({QUrl(QStringLiteral("https://example.org/model.safetensors"))});
        QDragEnterEvent other({10, 10}, Qt::CopyAction, &web, Qt::LeftButton, {});
        other.ignore();
        QApplication::sendEvent(m_fixture.window.get(), &other);
        QVERIFY(!other.isAccepted());
    }

    void recentFilesAreOffered()
    {
        const auto path = m_fixture.tinyModel();
        QVERIFY(m_fixture.open(path));
        QVERIFY(m_fixture.start(false));
        auto* list = m_fixture.window->findChild<QListWidget*>(QStringLiteral("recentFiles"));
        QCOMPARE(list->count(), 1);
        QVERIFY(list->item(0)->text().contains(QStringLiteral("tiny-2.safetensors")));
        QVERIFY(list->item(0)->text().contains(QStringLiteral("parameters")));
        QVERIFY(list->item(0)->text().contains(QStringLiteral("F32")));
        QSignalSpy changed(m_fixture.window->workbench(), &Workbench::modelChanged);
        const auto place = list->visualItemRect(list->item(0)).center();
        QTest::mouseClick(list->viewport(), Qt::LeftButton, {}, place);
        QTest::mouseDClick(list->viewport(), Qt::LeftButton, {}, place);
        QVERIFY(changed.wait(patience));
        QCOMPARE(m_fixture.window->workbench()->modelPath(), path);
    }

    void exportsToAFile_data()
    {
        QTest::addColumn<QString>("target");
        QTest::addColumn<QByteArray>("holds");
        for (const auto* target : quantloupe::exportTargets())
            QTest::addRow("%s", std::string(target->name).c_str())
                << QString::fromStdString(std::string(target->name)) << QByteArray();
    }
    void exportsToAFile()
    {
        QFETCH(const QString, target);
        QVERIFY(m_fixture.open(m_fixture.tinyModel(2, 32)));
        m_fixture.window->workbench()->setDefaultScheme(quantloupe::Scheme::parse("int8:g32").value());
        m_fixture.action(QStringLiteral("Export…"))->trigger();
        auto* dialog = m_fixture.window->findChild<ExportDialog*>();
        QVERIFY(dialog);
        dialog->setTarget(target);
        QCOMPARE(dialog->target(), target);
        QVERIFY(m_fixture.rest());
        // What a tool cannot express is said; then there is nothing to save.
        const auto* warnings = dialog->findChild<QLabel*>(QStringLiteral("warnings"));
        for (const auto* other : {"int8:channel", "nvfp4"})
            if (dialog->preview().isEmpty()) {
                QVERIFY2(warnings->text().contains(QStringLiteral("cannot express")), qPrintable(warnings->text()));
                m_fixture.window->workbench()->setDefaultScheme(quantloupe::Scheme::parse(other).value());
                QVERIFY(m_fixture.rest());
            }
        QVERIFY2(!dialog->preview().isEmpty(), qPrintable(warnings->text()));
        const auto path = m_fixture.file(QStringLiteral("exported.txt"));
        QCOMPARE(dialog->saveTo(path, false), QString());
        QCOMPARE(QString::fromUtf8(contentOf(path)), dialog->preview());
        QVERIFY(!dialog->saveTo(path, false).isEmpty());  // never over a file that nobody was asked about
        // The preview follows the recipe.
        const auto before = dialog->preview();
        m_fixture.window->workbench()->setScheme({QStringLiteral("model.layers.0.mlp.up_proj.weight")}, std::nullopt);
        QVERIFY(m_fixture.rest());
        QVERIFY(dialog->preview() != before);
    }

    void reportsToAFile_data()
    {
        QTest::addColumn<QString>("suffix");
        QTest::addColumn<QByteArray>("holds");
        QTest::addRow("markdown") << ".md" << QByteArray("# My findings");
        QTest::addRow("csv") << ".csv" << QByteArray("model.layers.0.mlp.down_proj.weight");
        QTest::addRow("html") << ".html" << QByteArray("<svg");
    }
    void reportsToAFile()
    {
        QFETCH(const QString, suffix);
        QFETCH(const QByteArray, holds);
        QVERIFY(m_fixture.open(m_fixture.tinyModel()));
        m_fixture.action(QStringLiteral("Report…"))->trigger();
        auto* dialog = m_fixture.window->findChild<ReportDialog*>();
        QVERIFY(dialog);
        dialog->findChild<QLineEdit*>()->setText(QStringLiteral("My findings"));
        QTRY_VERIFY_WITH_TIMEOUT(dialog->preview().contains(QStringLiteral("My findings")), patience);
        const auto path = m_fixture.file(QStringLiteral("report") + suffix);
        QCOMPARE(dialog->saveTo(path), QString());
        QVERIFY(contentOf(path).contains(holds));
        QVERIFY(!dialog->saveTo(m_fixture.file(QStringLiteral("report.docx"))).isEmpty());
        // Sections that are not ticked are not there.
        auto* sections = dialog->findChild<QListWidget*>(QStringLiteral("sections"));
        const auto whole = dialog->preview().size();
        for (int i = 1; i < sections->count(); ++i)
            sections->item(i)->setCheckState(Qt::Unchecked);
        QTRY_VERIFY_WITH_TIMEOUT(dialog->preview().size() < whole, patience);
    }

    void closingAsksOnce()
    {
        QVERIFY(m_fixture.open(m_fixture.tinyModel()));
        m_fixture.window->workbench()->setDefaultScheme(quantloupe::Scheme::parse("int8").value());
        bool asked = false;
        answerBox(QStringLiteral("Cancel"), asked);
        QVERIFY(!m_fixture.window->close());
        QVERIFY(asked);
        asked = false;
        answerBox(QStringLiteral("Keep in study"), asked);
        QVERIFY(m_fixture.window->close());
        QVERIFY(asked);
        // And what was kept is there again.
        QVERIFY(m_fixture.start(false));
        QVERIFY(m_fixture.open(m_fixture.tinyModel()));
        QCOMPARE(m_fixture.window->workbench()->recipe().defaultPlan.weights.toString(), std::string("int8"));
        asked = false;
        answerBox(QStringLiteral("Cancel"), asked);
        QVERIFY(m_fixture.window->close());
        QVERIFY(!asked);
    }

    void sessionIsOfferedAfterACrash()
    {
        const auto path = m_fixture.tinyModel();
        QVERIFY(m_fixture.open(path));
        const QDir data(Workbench::dataFolder());
        const auto marks = data.entryList({QStringLiteral("session-*")}, QDir::Files);
        const auto mark = std::find_if(
            marks.begin(), marks.end(), [](const QString& name) { return !name.endsWith(QLatin1String(".lock")); });
        QVERIFY(mark != marks.end());
        // A mark without a living owner is what a crash leaves behind.
        QVERIFY(QFile::copy(data.filePath(*mark), data.filePath(QStringLiteral("session-crashed"))));
        QVERIFY(m_fixture.start(false));
        m_fixture.window->offerLastSession();
        auto* bar = m_fixture.window->messageBar();
        QVERIFY(bar->isVisible());
        QVERIFY(bar->text().contains(path));
        QSignalSpy changed(m_fixture.window->workbench(), &Workbench::modelChanged);
        QTest::mouseClick(bar->findChild<QPushButton*>(), Qt::LeftButton);
        QVERIFY(changed.wait(patience));
        QCOMPARE(m_fixture.window->workbench()->modelPath(), path);
        // Offered once; and the mark of a living window is not a crash.
        QVERIFY(m_fixture.rest());
        MainWindow second;
        second.offerLastSession();
        QVERIFY(!second.messageBar()->isVisibleTo(&second));
    }

    void settingsAreRemembered()
    {
        m_fixture.window->resize(1000, 700);
        QVERIFY(m_fixture.window->close());
        AppSettings().setTheme(ThemeMode::Dark);
        QVERIFY(m_fixture.start(false));
        QCOMPARE(AppSettings().theme(), ThemeMode::Dark);
        QVERIFY(m_fixture.action(QStringLiteral("Dark"))->isChecked());
        QVERIFY(!AppSettings().windowState().isEmpty());
        // Another layout, then reset.
        auto* dock = m_fixture.window->modelDock();
        dock->hide();
        m_fixture.action(QStringLiteral("Reset layout"))->trigger();
        QVERIFY(dock->isVisible());
    }
};

QTEST_MAIN(TestWindowFiles)
#include "tst_window_files.moc"
