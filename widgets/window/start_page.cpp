// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/window/start_page.h"

#include "widgets/support/format_text.h"
#include "widgets/theme/fonts.h"
#include "widgets/theme/icons.h"
#include "widgets/workbench/workbench.h"

#include <QAction>
#include <QFileInfo>
#include <QHBoxLayout>
#include <QLabel>
#include <QListWidget>
#include <QPushButton>
#include <QVBoxLayout>

namespace {

QPushButton* makeButton(const QString& icon, const QString& text, const QString& toolTip)
{
    auto* button = new QPushButton(themeIcon(icon), text);
    button->setToolTip(toolTip);
    button->setMinimumHeight(36);
    button->setIconSize({20, 20});
    return button;
}

}  // namespace

QString describeRecentFile(const RecentFile& file)
{
    QStringList parts;
    if (!file.architecture.isEmpty())
        parts << file.architecture;
    if (file.parameters > 0)
        parts << StartPage::tr("%1 parameters").arg(format::count(file.parameters));
    if (!file.dtype.isEmpty())
        parts << file.dtype;
    if (file.bytes > 0)
        parts << format::bytes(file.bytes);
    if (file.opened.isValid())
        parts << QLocale().toString(file.opened.date(), QLocale::ShortFormat);
    return parts.join(QStringLiteral(" · "));
}

StartPage::StartPage(bool sample, QWidget* parent)
    : QWidget(parent)
    , m_recentTitle(new QLabel(tr("&Recent")))
    , m_recent(new QListWidget)
{
    auto* title = new QLabel(tr("Quantloupe"));
    title->setFont(scaledFont(font(), 2.0, true));
    auto* subtitle = new QLabel(tr("See what quantization does to a model, layer by layer, and decide."));
    subtitle->setWordWrap(true);

    auto* open = makeButton(QStringLiteral("open"), tr("&Open model…"),
        tr("A checkpoint of any common format, a shard index, or a study that was saved before."));
    auto* folder =
        makeButton(QStringLiteral("folder"), tr("Open &folder…"), tr("A folder that holds a model in shards."));
    auto* sampleButton = makeButton(QStringLiteral("sample"), tr("Open the &sample"),
        tr("A small language model that Quantloupe trained itself, on short stories, with a text to judge it by."));
    open->setDefault(true);
    sampleButton->setEnabled(sample);
    connect(open, &QPushButton::clicked, this, &StartPage::openRequested);
    connect(folder, &QPushButton::clicked, this, &StartPage::openFolderRequested);
    connect(sampleButton, &QPushButton::clicked, this, &StartPage::sampleRequested);
    auto* buttons = new QHBoxLayout;
    buttons->setSpacing(8);
    buttons->addWidget(open);
    buttons->addWidget(folder);
    buttons->addWidget(sampleButton);
    buttons->addStretch();

    m_recentTitle->setFont(scaledFont(font(), 1.2, true));
    m_recentTitle->setBuddy(m_recent);
    m_recent->setObjectName(QStringLiteral("recentFiles"));
    m_recent->setAccessibleName(tr("Recent files"));
    m_recent->setFrameShape(QFrame::NoFrame);
    m_recent->setSpacing(2);
    m_recent->setWordWrap(true);
    m_recent->setContextMenuPolicy(Qt::ActionsContextMenu);
    auto* forget = new QAction(tr("&Forget this file"), m_recent);
    m_recent->addAction(forget);
    connect(forget, &QAction::triggered, this, [this] {
        if (const auto* item = m_recent->currentItem())
            Q_EMIT forgetRequested(item->data(Qt::UserRole).toString());
    });
    const auto choose = [this](
                            const QListWidgetItem* item) { Q_EMIT fileRequested(item->data(Qt::UserRole).toString()); };
    connect(m_recent, &QListWidget::itemActivated, this, choose);

    auto* hint = new QLabel(tr("or drop a model file, a folder or a study anywhere in this window"));
    hint->setForegroundRole(QPalette::PlaceholderText);

    auto* column = new QVBoxLayout;
    column->setSpacing(12);
    column->addStretch(1);
    column->addWidget(title);
    column->addWidget(subtitle);
    column->addSpacing(8);
    column->addLayout(buttons);
    column->addWidget(hint);
    column->addSpacing(16);
    column->addWidget(m_recentTitle);
    column->addWidget(m_recent, 4);
    column->addStretch(1);
    auto* middle = new QWidget;
    middle->setLayout(column);
    middle->setMaximumWidth(760);
    auto* layout = new QHBoxLayout(this);
    layout->addStretch(1);
    layout->addWidget(middle, 6);
    layout->addStretch(1);
    setRecentFiles({});
}

void StartPage::setRecentFiles(const QList<RecentFile>& files)
{
    m_recent->clear();
    for (const auto& file : files) {
        const QFileInfo info(file.path);
        auto* item = new QListWidgetItem(themeIcon(info.isDir() ? QStringLiteral("folder") : QStringLiteral("layer")),
            QStringLiteral("%1\n%2\n%3")
                .arg(Workbench::displayName(file.path), describeRecentFile(file), info.absolutePath()),
            m_recent);
        item->setData(Qt::UserRole, file.path);
        item->setToolTip(file.path);
        if (!info.exists())
            item->setForeground(palette().brush(QPalette::Disabled, QPalette::Text));
    }
    m_recentTitle->setVisible(!files.isEmpty());
    m_recent->setVisible(!files.isEmpty());
}
