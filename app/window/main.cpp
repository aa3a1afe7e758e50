// SPDX-License-Identifier: GPL-3.0-or-later
// quantloupe: the window. Reads the command line, puts the window up, and takes a picture of it where that is asked.
#include "core/base/freed_memory.h"
#include "widgets/theme/theme.h"
#include "widgets/window/app_settings.h"
#include "widgets/window/main_window.h"
#include "widgets/window/screenshot.h"
#include "widgets/workbench/workbench.h"

#include <QApplication>
#include <QCommandLineParser>

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <vector>

namespace {

constexpr int failed = 1;
constexpr int usage = 2;

int complain(const QString& text, int status)
{
    std::fprintf(stderr, "quantloupe: %s\n", qPrintable(text));
    return status;
}

/// Without a display Qt ends the program with a message of its own, even where only the help is asked for. Returns
/// whether to go on: what needs no window is done off screen.
bool haveSomewhereToDraw(const std::vector<std::string_view>& arguments)
{
    const auto given = [&](std::initializer_list<std::string_view> options) {
        return std::any_of(arguments.begin(), arguments.end(), [&](std::string_view argument) {
            return std::any_of(options.begin(), options.end(), [&](std::string_view option) {
                return argument == option || (argument.starts_with(option) && argument[option.size()] == '=');
            });
        });
    };
    if (!qEnvironmentVariableIsEmpty("DISPLAY") || !qEnvironmentVariableIsEmpty("WAYLAND_DISPLAY")
        || !qEnvironmentVariableIsEmpty("QT_QPA_PLATFORM") || given({"-platform", "--platform"}))
        return true;
    qputenv("QT_QPA_PLATFORM", "offscreen");
    return given({"-h", "--help", "--help-all", "-v", "--version", "--screenshot"});
}

}  // namespace

int main(int argc, char** argv)
{
    quantloupe::keepFreedMemory();
    if (!haveSomewhereToDraw({argv, argv + argc}))
        return complain(QStringLiteral("no display; quantloupe-cli does the same work without one"), failed);
    QApplication application(argc, argv);
    QApplication::setApplicationName(QStringLiteral("quantloupe"));
    QApplication::setApplicationDisplayName(QStringLiteral("Quantloupe"));
    QApplication::setApplicationVersion(QStringLiteral(QUANTLOUPE_VERSION));
    QGuiApplication::setDesktopFileName(QStringLiteral("io.github.quantloupe.Quantloupe"));

    QCommandLineParser parser;
    parser.setApplicationDescription(
        QApplication::translate("main", "Workbench for the quantization of language models."));
    const QCommandLineOption page(
        QStringLiteral("page"), QApplication::translate("main", "Show the page <name> first."), QStringLiteral("name"));
    const QCommandLineOption tensor(
        QStringLiteral("tensor"), QApplication::translate("main", "Select the tensor <name>."), QStringLiteral("name"));
    const QCommandLineOption theme(
        QStringLiteral("theme"), QApplication::translate("main", "light, dark or system."), QStringLiteral("name"));
    const QCommandLineOption size(QStringLiteral("size"),
        QApplication::translate("main", "Size of the window, e.g. 1280x800."), QStringLiteral("size"));
    const QCommandLineOption screenshot(QStringLiteral("screenshot"),
        QApplication::translate(
            "main", "Write a picture of the window to the PNG <file> once all is measured, and quit."),
        QStringLiteral("file"));
    parser.addOptions({page, tensor, theme, size, screenshot});
    parser.addPositionalArgument(QStringLiteral("model"),
        QApplication::translate("main", "A model file, shard index, folder or study to open, or the word sample."),
        QStringLiteral("[model]"));
    parser.addHelpOption();
    parser.addVersionOption();
    parser.process(application);
    const auto arguments = parser.positionalArguments();
    if (arguments.size() > 1)
        return complain(QApplication::translate("main", "one model at a time"), usage);

    auto mode = AppSettings().theme();
    if (parser.isSet(theme)) {
        const auto name = parser.value(theme);
        if (name != QLatin1String("light") && name != QLatin1String("dark") && name != QLatin1String("system"))
            return complain(QApplication::translate("main", "--theme is light, dark or system"), usage);
        mode = name == QLatin1String("light") ? ThemeMode::Light
            : name == QLatin1String("dark")   ? ThemeMode::Dark
                                              : ThemeMode::System;
    }
    Theme::instance().setMode(mode);

    MainWindow window;
    if (parser.isSet(page) && !window.showPage(parser.value(page)))
        return complain(QApplication::translate("main", "no page %1; there are %2")
                            .arg(parser.value(page), window.pageNames().join(QStringLiteral(", "))),
            usage);
    if (parser.isSet(size)) {
        const auto extents = parser.value(size).split(u'x');
        const QSize wanted(extents.value(0).toInt(), extents.value(1).toInt());
        if (extents.size() != 2 || wanted.isEmpty())
            return complain(QApplication::translate("main", "--size is WIDTHxHEIGHT"), usage);
        window.resize(wanted);
    }
    window.show();
    if (parser.isSet(tensor))
        QObject::connect(window.workbench(), &Workbench::modelChanged, &window,
            [workbench = window.workbench(), name = parser.value(tensor)] { workbench->select({name}); });
    if (!arguments.isEmpty())
        window.open(arguments.first());
    else if (!parser.isSet(screenshot))
        window.offerLastSession();

    if (parser.isSet(screenshot)) {
        auto* shot = new Screenshot(&window, parser.value(screenshot));
        QObject::connect(shot, &Screenshot::done, &application, [shown = &window](const QString& error) {
            shown->close();
            QApplication::exit(error.isEmpty() ? 0 : complain(error, failed));
        });
        shot->start();
    }
    return QApplication::exec();
}
